/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int memfile_opened(int fd)
{
	char path[40];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again < 0)
		return fd;
	close(fd);
	return again;
}

bool memfile_is_ours_alone(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_WRLCK))
		return false;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return true;
}
