/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <s3rdmafs/ioctl.h>, version 1, as programs were compiled with it: none of
 * these numbers may ever change.  Compiled as C and C++, for 64 and 32 bits,
 * with nothing included before it.
 */
#include <s3rdmafs/ioctl.h>

#include <stddef.h>

#ifdef __cplusplus
#define IS(what, n) static_assert((what) == (n), #what)
#else
#define IS(what, n) _Static_assert((what) == (n), #what)
#endif
#define SIZE(type, n) IS(sizeof(type), n)
#define AT(type, field, n) IS(offsetof(type, field), n)

SIZE(struct s3rdmafs_device, 16);
AT(struct s3rdmafs_device, kind, 0);
AT(struct s3rdmafs_device, device, 4);
AT(struct s3rdmafs_device, pool, 8);
SIZE(struct s3rdmafs_info, 304);
AT(struct s3rdmafs_info, size, 0);
AT(struct s3rdmafs_info, flags, 4);
AT(struct s3rdmafs_info, abi_version, 8);
AT(struct s3rdmafs_info, kinds, 12);
AT(struct s3rdmafs_info, transport, 16);
AT(struct s3rdmafs_info, ndevices, 20);
AT(struct s3rdmafs_info, slot_size, 24);
AT(struct s3rdmafs_info, host_pool, 32);
AT(struct s3rdmafs_info, map_max, 40);
AT(struct s3rdmafs_info, devices, 48);
AT(struct s3rdmafs_info, socket, 176);
AT(struct s3rdmafs_info, reserved, 284);
SIZE(struct s3rdmafs_map, 176);
AT(struct s3rdmafs_map, size, 0);
AT(struct s3rdmafs_map, flags, 4);
AT(struct s3rdmafs_map, kind, 8);
AT(struct s3rdmafs_map, device, 12);
AT(struct s3rdmafs_map, offset, 16);
AT(struct s3rdmafs_map, length, 24);
AT(struct s3rdmafs_map, handle, 32);
AT(struct s3rdmafs_map, valid, 40);
AT(struct s3rdmafs_map, alloc_offset, 48);
AT(struct s3rdmafs_map, alloc_size, 56);
AT(struct s3rdmafs_map, allocation, 64);
AT(struct s3rdmafs_map, generation, 72);
AT(struct s3rdmafs_map, export_, 80);
AT(struct s3rdmafs_map, reserved, 144);
SIZE(struct s3rdmafs_unmap, 32);
AT(struct s3rdmafs_unmap, size, 0);
AT(struct s3rdmafs_unmap, flags, 4);
AT(struct s3rdmafs_unmap, handle, 8);
AT(struct s3rdmafs_unmap, reserved, 16);
SIZE(struct s3rdmafs_register, 128);
AT(struct s3rdmafs_register, size, 0);
AT(struct s3rdmafs_register, flags, 4);
AT(struct s3rdmafs_register, kind, 8);
AT(struct s3rdmafs_register, device, 12);
AT(struct s3rdmafs_register, length, 16);
AT(struct s3rdmafs_register, export_, 24);
AT(struct s3rdmafs_register, buffer, 88);
AT(struct s3rdmafs_register, reserved, 96);
SIZE(struct s3rdmafs_read, 64);
AT(struct s3rdmafs_read, size, 0);
AT(struct s3rdmafs_read, flags, 4);
AT(struct s3rdmafs_read, buffer, 8);
AT(struct s3rdmafs_read, buffer_offset, 16);
AT(struct s3rdmafs_read, offset, 24);
AT(struct s3rdmafs_read, length, 32);
AT(struct s3rdmafs_read, placed, 40);
AT(struct s3rdmafs_read, reserved, 48);
SIZE(struct s3rdmafs_unregister, 32);
AT(struct s3rdmafs_unregister, size, 0);
AT(struct s3rdmafs_unregister, flags, 4);
AT(struct s3rdmafs_unregister, buffer, 8);
AT(struct s3rdmafs_unregister, reserved, 16);
SIZE(struct s3rdmafs_range, 16);
AT(struct s3rdmafs_range, offset, 0);
AT(struct s3rdmafs_range, length, 8);
SIZE(struct s3rdmafs_hint, 1040);
AT(struct s3rdmafs_hint, size, 0);
AT(struct s3rdmafs_hint, flags, 4);
AT(struct s3rdmafs_hint, count, 8);
AT(struct s3rdmafs_hint, reserved, 12);
AT(struct s3rdmafs_hint, ranges, 16);
SIZE(struct s3rdmafs_msg, 32);
AT(struct s3rdmafs_msg, magic, 0);
AT(struct s3rdmafs_msg, type, 4);
AT(struct s3rdmafs_msg, status, 8);
AT(struct s3rdmafs_msg, reserved, 12);
AT(struct s3rdmafs_msg, ticket, 16);
IS(S3RDMAFS_ABI_VERSION, 0x1UL);
IS(S3RDMAFS_IOC_TYPE, 0xb3UL);
IS(S3RDMAFS_HOST, 0x1UL);
IS(S3RDMAFS_CUDA, 0x2UL);
IS(S3RDMAFS_MAX_DEVICES, 0x8UL);
IS(S3RDMAFS_EXPORT, 0x40UL);
IS(S3RDMAFS_TICKET, 0x10UL);
IS(S3RDMAFS_HTTP, 0UL);
IS(S3RDMAFS_SHM, 0x1UL);
IS(S3RDMAFS_RC, 0x2UL);
IS(S3RDMAFS_DC, 0x3UL);
IS(S3RDMAFS_MAP_NOWAIT, 0x1UL);
IS(S3RDMAFS_HINT_FILE, 0x1UL);
IS(S3RDMAFS_HINT_RANGES, 0x40UL);
IS(S3RDMAFS_IOC_INFO, 0xc130b300UL);
IS(S3RDMAFS_IOC_MAP, 0xc0b0b301UL);
IS(S3RDMAFS_IOC_UNMAP, 0x4020b302UL);
IS(S3RDMAFS_IOC_REGISTER, 0xc080b303UL);
IS(S3RDMAFS_IOC_READ, 0xc040b304UL);
IS(S3RDMAFS_IOC_UNREGISTER, 0x4020b305UL);
IS(S3RDMAFS_IOC_HINT, 0x4410b306UL);
IS(S3RDMAFS_MSG_MAGIC, 0x33424652UL);
IS(S3RDMAFS_MSG_REDEEM, 0x1UL);
IS(S3RDMAFS_MSG_OFFER, 0x2UL);

int main(void)
{
	return 0;
}
