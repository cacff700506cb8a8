/*
 * Greylisting as rules: what was seen of a client's network and of a contact (a
 * network, a sender, a recipient), and the time, make a verdict and what is to
 * be remembered.  Floor 2.
 */
#ifndef QUEUE_MANAGER_GREY_H
#define QUEUE_MANAGER_GREY_H

#include "common/base/buf.h"
#include "common/proto/netaddr.h"

/* Queue time in ms; 0: not seen. */
struct q_grey_seen {
	int64_t network; /* that came again, when it was last seen */
	int64_t contact; /* the first time */
};
enum q_grey_note {
	Q_GREY_NOTHING,
	Q_GREY_CONTACT, /* a first contact, now */
	Q_GREY_NETWORK	/* one that came again, now; its contact goes */
};
struct q_grey_verdict {
	int64_t wait_ms; /* 0: it passes */
	enum q_grey_note note;
};
struct q_grey_verdict q_grey_judge(const struct q_grey_seen *seen,
    int64_t delay_ms, int64_t now_ms);

/* Keys of rows: of the network that A is in, an IPv4 /24 or an IPv6 /64, and of
 * a contact from there.  Ends in case make no difference. */
void q_grey_network(const struct hb_netaddr *a, struct hb_buf *key);
void q_grey_contact(const struct hb_netaddr *a, struct hb_span sender,
    struct hb_span rcpt, struct hb_buf *key);
bool q_grey_is_network(struct hb_span key);

/* A row's value. */
void q_grey_put(int64_t ms, struct hb_buf *value);
/* 0: it is damaged. */
int64_t q_grey_get(struct hb_span value);
/* Does a row count no more? */
bool q_grey_is_old(struct hb_span key, int64_t ms, int64_t now_ms);

#endif
