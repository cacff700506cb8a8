/*
 * One attempt: one message to the recipients of one route, from the policy to
 * an outcome for each recipient.  Floor 2: DNS, policies, connections and time
 * come through struct dlv_world.
 *
 *	begin -> policy and hosts (side by side) -> addresses
 *	  -> for each host: DANE records -> sts_decide_mx
 *	     -> each address: open -> ready -> sts_decide_tls -> mail
 *	     -> results -> end
 *	  an unsuitable host: the next; none left: defer
 *
 * DANE records are looked up when it is the turn of their host, so that a slow
 * name server of a backup host delays nobody.
 *
 * A policy failure always defers (RFC 8461 s5): it is neither final nor a
 * reason to send in clear.  One exception: a REQUIRETLS message is returned if
 * every host was judged and none is suitable (RFC 8689 s4.2.1).  `explain' is
 * an attempt that sends nothing.
 */
#ifndef DELIVERY_SMTP_ATTEMPT_H
#define DELIVERY_SMTP_ATTEMPT_H

#include "common/proto/route.h"
#include "delivery/smtp/client.h"
#include "delivery/smtp/ledger.h"
#include "delivery/smtp/mx.h"
#include "delivery/smtp/trust.h"

struct dlv_attempt;

/* The end of a connection and the demands on it: the key of the pool. */
struct dlv_target {
	struct hb_netaddr addr;	 /* family 0: unix endpoint PATH */
	struct hb_span path;
	const char *policy_domain; /* "" for literals and LMTP */
	const char *mx;
	const char *reference;	 /* SNI and certificate's name, or NULL */
	const struct hb_strs *names; /* or one of these; may be NULL */
	/* USABLE: the certificate is compared with these; otherwise NULL. */
	const struct hb_dane *dane;
	enum dlv_tls_use tls;
	bool demanded;		 /* cleartext is not allowed */
	bool require_tls;	 /* made for messages with REQUIRETLS */
	bool lmtp;
	bool may_loop;		 /* a server with our name is ourselves */
	bool fresh;		 /* no pooled connection: one just failed */
	bool no_chunks;		 /* BDAT was refused: DATA */
	/* Not NULL: a handshake failed before, this time without TLS. */
	const struct hb_tls_facts *facts;
};

enum dlv_connection_event {
	DLV_LINK_READY,	  /* facts are known: judge */
	DLV_LINK_DONE,	  /* the message was processed */
	DLV_LINK_NO_CONNECT, /* the connection failed */
	DLV_LINK_CLOSED	  /* was connected and has ended */
};
struct dlv_connection_report {
	enum dlv_connection_event event;
	const struct hb_tls_facts *facts;   /* all except NO_CONNECT */
	const struct hb_outcome *failure;   /* NO_CONNECT, CLOSED */
	const struct hb_outcome *mail;	    /* DONE: refusal of MAIL, or NULL */
	bool reused;   /* taken from the pool */
	bool in_doubt; /* CLOSED: the body was sent */
	bool spent;    /* DONE: it takes no other message */
	bool dsn;      /* DONE: next hop supports DSN */
	/* DONE: BDAT was refused; those without outcome go by DATA, over
	 * another connection */
	bool again;
};

/*
 * The world of an attempt.  policy, ledger and ask return what is known now,
 * and then no answer follows.  Else, and to open and mail, there is exactly
 * one answer, never before the call returns (HACKING "Answers"), unless the
 * attempt is freed before (the world then cancels).
 */
struct dlv_world {
	/* True: POLICY and WHY are filled, as dlv_attempt_policy has them. */
	bool (*policy)(void *w, struct hb_span domain, bool final,
	    const struct sts_policy **policy,
	    enum hb_reason *why);			/* dlv_attempt_policy */
	/* What was seen of DOMAIN's channels before; NULL: not known now. */
	const struct dlv_seen *(*ledger)(void *w,
	    struct hb_span domain);			/* dlv_attempt_ledger */
	/* Mail was sent to MX over a channel of this rank. */
	void (*note)(void *w, struct hb_span domain, struct hb_span mx,
	    enum hb_rank rank);
	/* NULL: not known now. */
	const struct hb_dns_answer *(*ask)(void *w, size_t slot,
	    struct hb_span name, enum hb_dns_type type); /* dlv_attempt_answer */
	size_t (*hosts_file)(void *w, struct hb_span name,
	    struct hb_netaddr *out, size_t max);
	/* Why connecting to it failed a moment ago; NONE: it may be tried. */
	enum hb_reason (*why_down)(void *w, const struct hb_netaddr *addr);
	void (*open)(void *w,
	    const struct dlv_target *t);		/* dlv_attempt_connection */
	void (*mail)(void *w, const struct dlv_txn *txn,
	    const struct sts_verdict *v);
	/* The attempt needs its connection no more. */
	void (*release)(void *w, bool keep);
	void (*done)(void *w);
	/* Do the AD bits of answers count? */
	enum dlv_trust (*ad_trust)(void *w);
	/* Called for each judgement: the clock may jump between two. */
	bool (*clock_implausible)(void *w);
	/* The clock's time, but never before a time that was right. */
	int64_t (*least_ms)(void *w);
	dlv_random_fn random;
	int64_t (*now_ms)(void);
};

enum dlv_mode { DLV_SEND, DLV_EXPLAIN, DLV_EXPLAIN_LIVE };

struct dlv_params {
	enum dlv_mode mode;
	struct hb_span route;	/* canonical */
	struct hb_span domain;	/* the recipients' */
	const struct hb_env *env; /* DLV_SEND */
	struct dlv_rcpt *rcpt;
	size_t nrcpt;
	bool final, flush;
	/* The current one: a reload may replace it between two accesses. */
	const struct hb_conf *const *conf;
};

/* Facts about one host, for explain. */
struct dlv_mx_result {
	bool judged;
	struct sts_verdict verdict; /* the last one */
	/* NULL: was not looked up.  Records, base and names live as long as the
	 * attempt. */
	const struct hb_dane *dane;
	enum hb_rank best; /* of the ledger; NONE: nothing known */
	/* Of the last connection; state UNKNOWN: there was none, or it ended
	 * before any fact was known. */
	struct hb_tls_facts facts;
	char tls[32]; /* its word; "" if it was not connected to */
	/* Connection trouble after the verdict, or NONE. */
	enum hb_reason trouble;
	struct hb_span text;
};

/* ORDER's strings and structs are borrowed for the attempt's life. */
struct dlv_attempt *dlv_attempt_new(const struct dlv_params *order,
    const struct dlv_world *world, void *w);
void dlv_attempt_free(struct dlv_attempt **a);
/* The events.  Each may end the attempt: then done() comes last, and may free
 * it. */
void dlv_attempt_start(struct dlv_attempt *a);

/* POLICY: borrowed until the attempt is freed, or NULL; WHY: as sts_lookup. */
void dlv_attempt_policy(struct dlv_attempt *a,
    const struct sts_policy *policy, enum hb_reason why);
/* SEEN: borrowed until the attempt is freed; NULL: cannot be read now. */
void dlv_attempt_ledger(struct dlv_attempt *a, const struct dlv_seen *seen);
void dlv_attempt_answer(struct dlv_attempt *a, size_t slot,
    const struct hb_dns_answer *answer);
void dlv_attempt_connection(struct dlv_attempt *a,
    const struct dlv_connection_report *report);

/* After done().  Its bytes live as long as the attempt; the caller fills idx,
 * at_ms and policy_id. */
const struct hb_outcome *dlv_attempt_outcome(const struct dlv_attempt *a,
    size_t rcpt);
/* Did each requested connection fail before any dialogue? */
bool dlv_attempt_unreachable(const struct dlv_attempt *a);
const struct dlv_mx *dlv_attempt_mx(const struct dlv_attempt *a);
const struct dlv_mx_result *dlv_attempt_trial(const struct dlv_attempt *a,
    size_t host);
const struct sts_channel *dlv_attempt_channel(const struct dlv_attempt *a);
enum dlv_trust dlv_attempt_trust(const struct dlv_attempt *a);
/* The operator's tls-policy for a route, otherwise that for the recipients'
 * domain, or NULL.  NOW_MS, BELIEVED: as in conf.h.  Borrowed from CONF. */
const struct hb_tls_policy *dlv_operator_word(const struct hb_conf *conf,
    const struct hb_route *route, struct hb_span domain, int64_t now_ms,
    bool believed);
/* "" if there is none. */
const char *dlv_attempt_policy_domain(const struct dlv_attempt *a);
/* The problem of the whole attempt; result NONE if there was none. */
const struct hb_outcome *dlv_attempt_problem(const struct dlv_attempt *a);

#endif
