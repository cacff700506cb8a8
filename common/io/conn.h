/*
 * One network connection: socket, buffers, and TLS once it is started.  Floor
 * 3.  Used by smtpd (accepted) and delivery (connecting).  TLS runs by hand
 * over the socket; no byte read before the handshake survives it.
 */
#ifndef HB_IO_CONN_H
#define HB_IO_CONN_H

#include "common/io/loop.h"
#include "common/io/tls.h"
#include "common/proto/dane.h"
#include "common/proto/netaddr.h"

struct hb_conn;

struct hb_conn_ops {
	void (*on_connected)(void *ctx); /* only when connecting */
	/* Bytes arrived: call hb_conn_input, then hb_conn_consume. */
	void (*on_input)(void *ctx);
	/* The handshake has ended; FACTS live until the connection is freed.
	 * Its state is DONE or FAILED (then on_close follows at once). */
	void (*on_tls)(void *ctx, const struct hb_tls_facts *facts);
	/* All output is written. */
	void (*on_drain)(void *ctx);
	/* The peer closed the connection (ERR 0), or it failed (HB_E_*; SYSERR:
	 * errno or 0).  It exists until hb_conn_free: after ERR 0 buffered
	 * input can still be consumed and output is still sent.  Called once,
	 * and once more after hb_conn_shutdown. */
	void (*on_close)(void *ctx, int err, int syserr);
};

/* Takes FD (and sets it non-blocking).  MAX_INPUT: most bytes buffered; reading
 * stops there until some are consumed. */
struct hb_conn *hb_conn_accept(struct hb_loop *l, int fd, size_t max_input,
    const struct hb_conn_ops *ops, void *ctx);
/* Connects; FROM may be NULL.  on_connected or on_close(HB_E_IO) follows. */
struct hb_conn *hb_conn_connect(struct hb_loop *l,
    const struct hb_netaddr *to, const struct hb_netaddr *from,
    size_t max_input, const struct hb_conn_ops *ops, void *ctx);
/* Wraps a connected descriptor (LMTP over a unix socket). */
struct hb_conn *hb_conn_attach(struct hb_loop *l, int fd, size_t max_input,
    const struct hb_conn_ops *ops, void *ctx);
/* Safe inside every callback. */
void hb_conn_free(struct hb_conn **c);

/* The buffered input.  The bytes live until the callback returns (outside of
 * callbacks: until the end of the turn), even if they are consumed. */
struct hb_span hb_conn_input(const struct hb_conn *c);
void hb_conn_consume(struct hb_conn *c, size_t n);
/* Is there nothing of the peer left to read, not even its end? */
bool hb_conn_is_quiet(const struct hb_conn *c);
/* Stops and starts reading, as back-pressure.  on_input does not report
 * buffered input again. */
void hb_conn_pause(struct hb_conn *c, bool pause);

/* Queues bytes; they are written together at the end of the turn. */
void hb_conn_write(struct hb_conn *c, struct hb_span s);
size_t hb_conn_pending(const struct hb_conn *c);
/*
 * Sends LEN bytes of FD from OFFSET, the body of a message, after the queued
 * output; FD is borrowed until on_drain.  The bytes are checked as they leave
 * because others may still write to the file: before one that could end the
 * message early (HB_WIRE_UNSAFE) the connection is closed, on_close with
 * HB_E_CORRUPT.
 */
void hb_conn_write_body(struct hb_conn *c, int fd, uint64_t offset,
    uint64_t len);
/* Closes the connection after all output is written (TLS: close_notify first).
 * Further input is not reported; on_close with ERR 0 reports the end.  A
 * connection or handshake that is not up yet ends at once. */
void hb_conn_shutdown(struct hb_conn *c);

/*
 * Starts TLS; server: after the queued reply is written.  Both return
 * HB_E_STATE if input is buffered (bytes after STARTTLS or after its 220): the
 * caller must end the session.
 */
int hb_conn_tls_server(struct hb_conn *c, struct hb_tls *t,
    const struct hb_tls_listener *l) HB_MUSTCHECK;
/* What the server must prove; all borrowed for the call. */
struct hb_tls_want {
	/* SNI and reference name; NULL for address literals: the name is not
	 * checked. */
	const char *name;
	/*
	 * HB_DANE_USABLE: its base is the name, and the certificate is compared
	 * only with its records: facts.dane is NO, EE or TA, chain stays NONE
	 * and name_ok false.  NULL or another state: without DANE.
	 */
	const struct hb_dane *dane;
};
int hb_conn_tls_client(struct hb_conn *c, struct hb_tls *t,
    const struct hb_tls_want *want) HB_MUSTCHECK;
/* After on_close: why reading TLS failed, for example an alert; "" if it did
 * not. */
const char *hb_conn_tls_error(const struct hb_conn *c);
/* With TLS up: is the peer's certificate valid for NAME too?  For further
 * reference names; the chain is not part of the answer. */
bool hb_conn_tls_named(const struct hb_conn *c, const char *name);

#endif
