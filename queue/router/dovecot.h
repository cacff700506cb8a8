/*
 * Lines of Dovecot's authentication protocol, version 1, as its client.  Floor
 * 2.  The server is trusted to judge passwords, not to write correct lines.
 *
 *	S: VERSION	1	2
 *	S: MECH	PLAIN	plaintext
 *	S: DONE
 *	C: VERSION	1	1
 *	C: CPID	4711
 *	C: AUTH	1	PLAIN	service=smtp	secured	rip=192.0.2.1	resp=...
 *	S: OK	1	user=alice
 */
#ifndef QUEUE_ROUTER_DOVECOT_H
#define QUEUE_ROUTER_DOVECOT_H

#include "common/base/buf.h"
#include "queue/router/rules.h"

enum { RT_DOVECOT_LINE = 8192 }; /* of the server, at most */

/* Zeroed for each connection. */
struct rt_dovecot {
	bool version, plain, ready;
};
struct rt_dovecot_answer {
	uint32_t id; /* 0: no answer to a question */
	enum rt_found found;
	struct hb_span user; /* as it was sent: rt_dovecot_user */
};

/* LINE of the server, without its end.  0, or HB_E_SYNTAX: it does not speak
 * this protocol, or has no mechanism PLAIN; hang up. */
int rt_dovecot_line(struct rt_dovecot *d, struct hb_span line,
    struct rt_dovecot_answer *a) HB_MUSTCHECK;
/* The name in an answer, without its escapes.  0 or HB_E_SYNTAX: it is none
 * that we could use. */
int rt_dovecot_user(struct hb_span text, struct hb_buf *out) HB_MUSTCHECK;

/* Ours.  PID: no other connection of this host has the same. */
void rt_dovecot_hello(uint32_t pid, struct hb_buf *out);
void rt_dovecot_ask(uint32_t id, const struct ipc_auth *m, struct hb_buf *out);

#endif
