/*
 * The filters of a session, and the message that is kept for them.  Floor 2.
 *
 * A round asks one filter after the other about one step, or about a whole
 * message, which the first filter sees as it came and each other as those
 * before it changed it.  The message is kept until the last has answered; only
 * then queue gets it.  What a filter changes counts when its answer is there,
 * all together, else nothing of it.
 */
#ifndef SMTPD_FILTERS_H
#define SMTPD_FILTERS_H

#include "common/proto/incoming.h"
#include "smtpd/milter.h"
#include "smtpd/session.h"

struct smtpd_question;

/* A body in wire form, from the empty line on. */
struct smtpd_body {
	struct hb_buf bytes;
	bool in_file; /* BYTES is empty then */
	unsigned file; /* number of it, 0 or 1 */
	size_t empty_line; /* its bytes at the front */
	uint64_t size;
};

struct smtpd_filters {
	size_t n;
	/* The round. */
	bool is_round;
	enum hb_milter_step first, last, step;
	size_t at;	/* the filter that is asked */
	bool drains;	/* a piece of the body is on its way to it */
	const struct smtpd_question *about; /* RCPT */
	struct hb_buf line; /* UNKNOWN */
	/* What came of it. */
	enum hb_action action;
	unsigned code;
	char status[16];
	enum hb_reason reason;
	struct hb_buf text;
	/* Where the session is, for symbols. */
	struct hb_netaddr local;
	uint16_t client_port;
	char tls_subject[256], tls_issuer[256];
	/* The message. */
	size_t ours, ours_n; /* our own field in the header section: hidden */
	size_t head_at;	     /* there, the next field to be sent */
	uint64_t body_at;    /* next byte of the body, the same */
	bool line_starts;    /* there */
	struct smtpd_body body;
	uint32_t body_flags; /* HB_ENV_*, of it */
	bool replaces, waits_for_file;
	struct smtpd_body fresh; /* what the filter puts in its place */
	struct hb_incoming fresh_in;
	struct hb_buf fresh_rest; /* not taken yet */
	struct hb_buf fresh_out;  /* the piece that is put into it */
	size_t counted; /* of site->filtered */
	struct hb_buf held_for; /* the reason to hold it */
	struct smtpd_milter v[];
};

/* filters.c */
/* NULL: no filter is configured. */
struct smtpd_filters *smtpd_filters_new(const struct hb_filters *conf);
void smtpd_filters_free(struct smtpd_filters **f);
/* The client's certificate. */
void smtpd_filters_tls(struct smtpd_session *s,
    const struct hb_tls_facts *facts);
/* Forgets the message, and a round about it. */
void smtpd_filters_forget(struct smtpd_session *s);
/* The session is over. */
void smtpd_filters_quit(struct smtpd_session *s);
/* Memory of bodies now counts for all sessions. */
void smtpd_filters_count(struct smtpd_session *s);
/* Does the body B, with MORE, belong into a file?  Then that was asked for. */
bool smtpd_body_asks_for_file(struct smtpd_session *s, struct smtpd_body *b,
    size_t more);
/* The file is there. */
void smtpd_body_in_file(struct smtpd_session *s, struct smtpd_body *b);
void smtpd_body_put(struct smtpd_session *s, struct smtpd_body *b,
    struct hb_span bytes);

/* symbols.c: puts the symbols of STEP in front of it. */
void smtpd_symbols_put(struct smtpd_session *s, struct smtpd_milter *m,
    enum hb_milter_step step);

/* changes.c */
/* What M says about the message counts.  Returns NULL, or what is wrong with
 * it: then nothing was changed. */
const char *smtpd_changes_apply(struct smtpd_session *s,
    struct smtpd_milter *m);
/* A piece of a new body.  The same. */
const char *smtpd_changes_body(struct smtpd_session *s,
    struct smtpd_milter *m, struct hb_span bytes);
/* The file that it waited for is there. */
void smtpd_changes_body_on(struct smtpd_session *s);

/* rounds.c.  Each returns true if the round is over now. */
bool smtpd_round(struct smtpd_session *s, enum hb_milter_step first,
    enum hb_milter_step last, const struct smtpd_question *about);
bool smtpd_round_lost(struct smtpd_session *s, size_t n, const char *why);
bool smtpd_round_connected(struct smtpd_session *s, size_t n);
bool smtpd_round_input(struct smtpd_session *s, size_t n, struct hb_span in,
    size_t *used);
bool smtpd_round_drained(struct smtpd_session *s, size_t n);
/* The piece of the body that was asked for. */
void smtpd_round_read(struct smtpd_session *s, struct hb_span bytes);
struct ipc_verdict smtpd_round_verdict(const struct smtpd_session *s);
/* Does a filter want to see recipients that were refused? */
bool smtpd_filters_want_refused(const struct smtpd_session *s);

#endif
