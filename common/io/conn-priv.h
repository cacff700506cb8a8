/*
 * Inside of a connection, only for conn.c (life, input, TLS) and conn_out.c
 * (output).  Floor 3.
 */
#ifndef HB_IO_CONN_PRIV_H
#define HB_IO_CONN_PRIV_H

#include <sys/types.h>

#include "common/io/conn.h"
#include "common/proto/wire.h"

enum {
	CONN_SCRATCH = 64 * 1024,
	RAW_MOST = 64 * 1024 /* records made before the socket takes them */
};

/* All connections receive into this buffer; files are read into it for
 * records. */
extern unsigned char conn_scratch[CONN_SCRATCH];

enum conn_state {
	CONNECTING,
	OPEN,
	HANDSHAKE,
	LINGER, /* all is written; input is discarded until the peer ends */
	CLOSED
};

/* Output: BYTES, then LEFT bytes of FILE from AT, a body in wire form. */
struct piece {
	struct piece *next;
	struct hb_buf bytes;
	int file;
	off_t at;
	uint64_t left;
	struct hb_wire wire; /* of what was read of FILE */
};

struct hb_conn {
	struct hb_loop *loop;
	const struct hb_conn_ops *ops;
	void *ctx;
	struct hb_io *io;
	struct hb_hook *hook;
	struct hb_timer *linger;
	int fd;
	enum conn_state state;
	/* Our functions on the stack: a callback of theirs may free C, and the
	 * last one does. */
	unsigned busy;
	int fail_errno; /* connect failed at once: reported by the hook */
	/* what the owner asked for */
	bool dead;     /* hb_conn_free was called */
	bool paused;   /* reads nothing */
	bool shutting; /* close when all is written */
	/* input */
	bool eof;         /* nothing more will be read */
	bool more_inside; /* TLS holds bytes that no event will announce */
	bool lent;        /* the owner is reading VIEW */
	/* output */
	bool blocked;   /* the socket took less than it was given */
	bool drain_due; /* output was queued since the last on_drain */
	bool told;      /* on_close was called */
	size_t max_input;
	size_t discarded; /* LINGER */
	struct hb_span view; /* in scratch */
	struct hb_buf in;
	struct piece *head, *tail;
	struct hb_buf raw;
	struct hb_tls_session *tls;
	struct hb_tls_facts *facts;
};

/* conn.c */
/* Encloses all code that may call the owner, who may free the connection: the
 * last one to leave frees it or sets the events that the loop watches. */
void conn_enter(struct hb_conn *c);
void conn_leave(struct hb_conn *c);
/* Ends reading and writing and reports this to the owner. */
void conn_close(struct hb_conn *c, int err, int syserr);
/* Reads the available input and reports it to the owner. */
void conn_read(struct hb_conn *c);

/* conn_out.c */
/* Writes the queued output as far as the socket takes it. */
void conn_flush(struct hb_conn *c);
/* Tries once to write the output in `raw'. */
void conn_send_raw(struct hb_conn *c);
/* LINGER: reads and discards input until the peer ends. */
void conn_discard_input(struct hb_conn *c);
void conn_drop_piece(struct hb_conn *c); /* the first one */
void conn_drop_output(struct hb_conn *c);

#endif
