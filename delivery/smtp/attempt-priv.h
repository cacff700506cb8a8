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
	bool running, again; /* an answer came before its request returned */
	size_t host, addr;   /* being tried */
	bool known;	     /* all facts of this host are known */
	struct dlv_dane dane; /* of this host, in progress */
	bool plain;	     /* this address again without TLS */
	bool fresh;	     /* this address again, not from the pool */
	struct hb_tls_facts facts;
	char addr_text[HB_NETADDR_TEXT];
	struct sts_verdict verdict;

	struct dlv_txn txn;
	size_t *index; /* of each recipient of txn in the order */
	struct hb_outcome *outcome;
	struct hb_outcome problem;
	bool policy_problem; /* problem is a verdict: do not overwrite it */
	bool connected;	     /* some host was */
	bool tried;	     /* a connection was requested */
	/* REQUIRETLS: could another try learn something, and has TLS itself
	 * failed each time? */
	bool unsettled, other_than_tls;
};

/* --- attempt.c ---------------------------------------------------------- */

/* Continues after an answer; may free the attempt. */
void dlv_run(struct dlv_attempt *a);

/* --- attempt_learn.c ---------------------------------------------------- */

/* Returns false if delivery does not handle the route. */
bool dlv_learn_route(struct dlv_attempt *a);
/* Requests the policy, MX records and addresses. */
void dlv_learn(struct dlv_attempt *a);
/* All requested answers are there.  Returns true if it requests more. */
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

/* --- attempt_try.c ------------------------------------------------------ */

void dlv_choose(struct dlv_attempt *a);
void dlv_judge(struct dlv_attempt *a);

/* --- attempt_note.c ----------------------------------------------------- */

/* The host being tried, and its form for sts/decide. */
const struct dlv_host *dlv_host(const struct dlv_attempt *a);
struct sts_host dlv_judged_host(const struct dlv_attempt *a);
/* RES with the host and channel that it came over. */
struct hb_outcome dlv_make_outcome(struct dlv_attempt *a,
    const struct hb_outcome *res);
/* Connection trouble: the reason if the attempt fails, unless a better one is
 * found.  A verdict by policy takes precedence. */
void dlv_note_trouble(struct dlv_attempt *a, const struct hb_outcome *res);
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
