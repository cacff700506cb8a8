/*
 * Shared by the files of the attempt: attempt.c (the machine and its life),
 * attempt_learn.c (facts), attempt_try.c (hosts, connections, judgement),
 * attempt_note.c (outcomes).  Floor 2.
 */
#ifndef DELIVERY_SMTP_ATTEMPT_PRIV_H
#define DELIVERY_SMTP_ATTEMPT_PRIV_H

#include "delivery/smtp/attempt.h"

enum dlv_step {
	DLV_STEP_LEARN, /* policy, MX, addresses */
	DLV_STEP_NEXT,	/* choose a host and an address */
	DLV_STEP_DANE,	/* the host's DANE records: the next query */
	DLV_STEP_WAIT,	/* for an answer or the connection */
	DLV_STEP_JUDGE, /* the connection is ready */
	DLV_STEP_END,
	DLV_STEP_ENDED
};

enum dlv_turn {
	DLV_TURN_FIRST,
	DLV_TURN_FRESH, /* once more, not from the pool */
	DLV_TURN_PLAIN	/* once more, without TLS */
};

/* The best of all hosts so far. */
enum dlv_reach {
	DLV_REACH_UNTRIED,
	DLV_REACH_TRIED, /* a connection was asked for */
	DLV_REACH_CONNECTED
};

struct dlv_attempt {
	struct dlv_params order;
	const struct dlv_world *world;
	void *w;
	struct hb_arena *arena;

	struct hb_route route;
	bool given; /* the operator configured the route */
	char policy_domain[HB_MAX_DOMAIN + 1];
	struct sts_channel channel;
	/* When the policy was received, while it was in effect.  It applies to
	 * the whole attempt, whatever the clock says later: nobody asked for
	 * what the domain publishes then. */
	int64_t policy_ms;
	enum dlv_trust trust; /* in the resolver */
	const struct dlv_seen *seen; /* by the ledger, or NULL */
	bool ledger_lost;	     /* it cannot be read now */
	struct dlv_mx mx;
	struct dlv_mx_result *trials;
	uint16_t port;
	unsigned waiting; /* answers to policy, ledger and DNS requests */

	enum dlv_step step;
	size_t host, addr;   /* being tried */
	bool known;	     /* all facts of this host are there */
	struct dlv_dane dane; /* of this host, under way */
	enum dlv_turn turn;  /* of this address */
	struct hb_tls_facts facts;
	char addr_text[HB_NETADDR_TEXT];
	struct sts_verdict verdict;

	struct dlv_txn txn;
	size_t *index; /* of each recipient of txn in the order */
	struct hb_outcome *outcome;
	struct hb_outcome problem;
	bool policy_problem; /* problem is a verdict: not overwritten */
	enum dlv_reach reach;
	/* REQUIRETLS: is there anything that another try could learn, and has
	 * TLS itself been the trouble each time? */
	bool unsettled, other_than_tls;
};

/* --- attempt_learn.c --- */

/* Returns false if delivery does not handle the route. */
bool dlv_learn_route(struct dlv_attempt *a);
/* Requests the policy, MX records and addresses. */
void dlv_learn(struct dlv_attempt *a);
/* Answers, as the events of attempt.h have them. */
void dlv_take_policy(struct dlv_attempt *a, const struct sts_policy *policy,
    enum hb_reason why);
void dlv_take_ledger(struct dlv_attempt *a, const struct dlv_seen *seen);
void dlv_take_answer(struct dlv_attempt *a, size_t slot,
    const struct hb_dns_answer *answer);
/* All that was awaited is there.  True: more is asked for. */
bool dlv_learn_more(struct dlv_attempt *a);
/* Nothing more is requested: makes the list of hosts. */
void dlv_learned(struct dlv_attempt *a);
bool dlv_is_lmtp(const struct dlv_attempt *a);
/* Does the message carry REQUIRETLS?  Ignored over a unix socket, where no
 * network peer can listen. */
bool dlv_is_tagged(const struct dlv_attempt *a);
/* Is there something to remember of this destination? */
bool dlv_is_remembered(const struct dlv_attempt *a);
/* The ledger's entry and the DANE records of the next host to try. */
void dlv_learn_host(struct dlv_attempt *a);
void dlv_ask_dane(struct dlv_attempt *a);

/* --- attempt_try.c --- */

void dlv_choose(struct dlv_attempt *a);
void dlv_judge(struct dlv_attempt *a);
void dlv_take_report(struct dlv_attempt *a,
    const struct dlv_connection_report *r);

/* --- attempt_note.c --- */

/* The host being tried, and its form for sts/decide. */
const struct dlv_host *dlv_host(const struct dlv_attempt *a);
struct sts_host dlv_judged_host(const struct dlv_attempt *a);
/* RES with the host and channel that it came over. */
struct hb_outcome dlv_make_outcome(struct dlv_attempt *a,
    const struct hb_outcome *res);
/* Connection trouble: the reason if the attempt fails, unless a better one is
 * found.  A verdict by policy takes precedence. */
void dlv_note_trouble(struct dlv_attempt *a, const struct hb_outcome *res);
/* RES: the host cannot take the message as it is.  It is returned if no other
 * host can, and none is in trouble. */
void dlv_note_lack(struct dlv_attempt *a, const struct hb_outcome *res);
/* A verdict that refuses the message. */
void dlv_note_refusal(struct dlv_attempt *a, const struct sts_verdict *v);
/* V found less than the ledger's expectation. */
void dlv_note_fall(const struct dlv_attempt *a, const struct sts_verdict *v);
/* For explain. */
void dlv_note_trial(struct dlv_attempt *a, const struct sts_verdict *v);
/* Sets O for each recipient that is still undecided. */
void dlv_settle(struct dlv_attempt *a, const struct hb_outcome *o);
void dlv_end_with(struct dlv_attempt *a, enum hb_result result,
    enum hb_reason reason);
/* No host is left. */
void dlv_end_of_hosts(struct dlv_attempt *a);

static inline void
dlv_end(struct dlv_attempt *a)
{
	a->step = DLV_STEP_END;
}

#endif
