/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libibverbs and mlx5dv for tests, linked into the program so that its symbols
 * win over the libraries'.  It holds callers to the recipes of the protocol
 * document (4.2, 4.3, 4.4), and moves bytes as a NIC would: within the process,
 * after the checks that a NIC makes.
 *
 * Errors that a NIC has are completions; what no caller may ever do is a
 * violation, a text that the test asks for.
 *
 * Threads: any, for the verbs; the calls of this header too, but for the fields
 * of struct fake_port, which are the test's while nobody else is at work.
 */
#ifndef S3RDMAFS_TESTS_FAKE_VERBS_H
#define S3RDMAFS_TESTS_FAKE_VERBS_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_GIDS 32

struct fake_port {
	enum ibv_port_state state;
	bool infiniband;
	uint16_t lid;
	enum ibv_mtu mtu;
	struct {
		bool there;
		enum ibv_gid_type type;
		union ibv_gid gid;
	} gids[FAKE_GIDS];
};

enum fake_kind {
	FAKE_CTX,
	FAKE_PD,
	FAKE_MR,
	FAKE_CQ,
	FAKE_CHANNEL,
	FAKE_SRQ,
	FAKE_QP,
	FAKE_AH,
	FAKE_KINDS,
};

/* A host without devices, with a folder of its own in that; stop removes it,
 * and whatever objects a test that fell has left. */
void fake_verbs_start(const char *folder);
void fake_verbs_stop(void);

/* What callers did against the recipes, a line each; "" when nothing. */
const char *fake_verbs_violations(void);
/* Objects that live, or were destroyed by no other than their context; "". */
const char *fake_verbs_left(void);
unsigned int fake_verbs_count(enum fake_kind kind);

/*
 * The nth call from now (1 is the next; 0: each) fails.  call NULL: of any of
 * those that make or change something.  error 0 takes the rules away.
 */
void fake_verbs_fail(const char *call, unsigned int nth, int error);
/* Has a rule fired since it was made? */
bool fake_verbs_failed(void);

/* A device with ports that are up, on Ethernet, and without GIDs. */
void fake_verbs_add(const char *name, bool mlx5, unsigned int ports);
struct fake_port *fake_verbs_port(const char *name, unsigned int port);
/* text as an IPv6 address is written, "::" too; NULL removes the entry. */
void fake_verbs_gid(const char *name, unsigned int port, unsigned int index,
		    enum ibv_gid_type type, const char *text);
/* The device's entry goes, as behind a driver that waits for its users. */
void fake_verbs_remove(const char *name);

/* Events for all who have the device open, or of a queue pair. */
void fake_verbs_event(const char *name, enum ibv_event_type type,
		      unsigned int port);
void fake_verbs_qp_event(uint32_t qpn, enum ibv_event_type type);

/* Keys of a length, and numbers, come back, the last one first. */
void fake_verbs_recycle_keys(bool on);
void fake_verbs_recycle_qpns(bool on);
/* The next queue pair has this number. */
void fake_verbs_next_qpn(uint32_t qpn);

/* Queue pairs made from now on take more than was asked for, as some NICs do. */
void fake_verbs_roomy(bool on);

/* While it holds, work that was posted is not begun; off begins it. */
void fake_verbs_hold(bool on);
unsigned int fake_verbs_held(void);

/* A write of a server that is late: 0, or -EACCES. */
int fake_verbs_remote_write(uint32_t rkey, uint64_t addr, const void *data,
			    size_t len);

/* How many writes and reads were carried out. */
unsigned int fake_verbs_moved(void);

#endif
