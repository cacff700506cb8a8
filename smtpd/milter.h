/*
 * The conversation with one filter in one session, as a machine.  Floor 2: no
 * input or output, no clock.  Driven by smtpd/rounds.c; the owner of the
 * session connects, sends, closes and keeps the time.
 *
 *	NEW --first step--> OPENING --connected--> AGREEING --terms--> READY
 *	READY --step--> ASKED --answer--> READY
 *	any --failure, end of the session--> GONE
 *
 * What is not wanted is not sent, what is not answered is not waited for.
 */
#ifndef SMTPD_MILTER_H
#define SMTPD_MILTER_H

#include "common/base/mem.h"
#include "common/proto/conf.h"
#include "common/proto/milter.h"

enum smtpd_milter_state {
	SMTPD_MILTER_NEW,
	SMTPD_MILTER_OPENING,
	SMTPD_MILTER_AGREEING,
	SMTPD_MILTER_READY,
	SMTPD_MILTER_ASKED,
	SMTPD_MILTER_GONE
};

struct smtpd_milter {
	const struct hb_filter *conf;
	enum smtpd_milter_state state;
	struct hb_milter_terms terms; /* symbols: in the arena */
	struct hb_arena *arena;	      /* NULL: no lists of symbols */
	bool accepted; /* the session: it is not asked any more */
	bool passes;   /* this message, the same */
	bool knows;    /* a message is open there */
	bool skips;    /* the rest of the body */
	bool holds;    /* it holds the message */
	bool asked_data;
	struct hb_buf changes; /* packets, until the answer behind them */
	unsigned n_changes, n_progress;
	/* For the owner. */
	struct hb_buf out;
	bool opens, closes;
	bool came;     /* it has agreed: it answers */
	char *failure; /* owned; why it was dropped */
	bool timer_set;
	int64_t timer_ms; /* 0: none */
};

enum smtpd_milter_event {
	SMTPD_MILTER_MORE,   /* the next packet is not complete */
	SMTPD_MILTER_AGREED, /* it can be asked */
	SMTPD_MILTER_SAYS,   /* an answer, or a change */
	SMTPD_MILTER_BUSY,   /* it goes on thinking */
	SMTPD_MILTER_BROKEN
};

void smtpd_milter_free(struct smtpd_milter *m);
/* Asks the owner for a connection. */
void smtpd_milter_open(struct smtpd_milter *m);
/* It is there: the terms are offered. */
void smtpd_milter_connected(struct smtpd_milter *m);
/* Is STEP to be sent? */
bool smtpd_milter_wants(const struct smtpd_milter *m,
    enum hb_milter_step step);
/* STEP was put into m->out.  Returns true if an answer comes. */
bool smtpd_milter_asked(struct smtpd_milter *m, enum hb_milter_step step);
/* Reads one packet at the front of IN; *USED of it.  WHY, if BROKEN: what is
 * wrong.  SAYS points into IN. */
enum smtpd_milter_event smtpd_milter_input(struct smtpd_milter *m,
    enum hb_milter_step step, struct hb_span in, size_t *used,
    struct hb_milter_says *says, const char **why);
/* The message is over, and the filter hears it if it knows of it. */
void smtpd_milter_forget(struct smtpd_milter *m);
/* The session is over. */
void smtpd_milter_quit(struct smtpd_milter *m);
/* It failed: the connection is closed. */
void smtpd_milter_drop(struct smtpd_milter *m);

#endif
