/*
 * One network connection: socket, buffers, TLS when started.  Floor 3.  Used
 * by smtpd (accepted) and delivery (connecting).  TLS is driven by hand over
 * the socket; nothing read before the handshake survives it.
 */
#ifndef HB_IO_CONN_H
#define HB_IO_CONN_H

#include "common/io/loop.h"
#include "common/io/tls.h"
#include "common/proto/dane.h"
#include "common/proto/netaddr.h"

struct hb_conn;

struct hb_conn_ops {
	void (*on_connected)(void *ctx); /* connecting side only */
	/* Bytes arrived: hb_conn_input, then hb_conn_consume. */
	void (*on_input)(void *ctx);
	/* The handshake is over; FACTS live until the connection is freed.
	 * state is DONE or FAILED (then on_close follows at once). */
	void (*on_tls)(void *ctx, const struct hb_tls_facts *facts);
	/* All output is written. */
	void (*on_drain)(void *ctx);
	/* Closed by the peer (ERR 0), or failed (HB_E_*; SYSERR: errno or 0).
	 * The connection stays until hb_conn_free: after ERR 0 input that is
	 * held can still be consumed and output still goes out.  Comes once,
	 * and once more after hb_conn_shutdown. */
	void (*on_close)(void *ctx, int err, int syserr);
};

/* Takes FD (non-blocking is set here).  MAX_INPUT: bytes buffered at most;
 * reading stops there until they are consumed. */
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

/* What is held now.  The bytes live until the callback returns (outside of
 * callbacks: until the end of the turn), also when they are consumed. */
struct hb_span hb_conn_input(const struct hb_conn *c);
void hb_conn_consume(struct hb_conn *c, size_t n);
/* Nothing of the peer waits to be read, the end neither. */
bool hb_conn_is_quiet(const struct hb_conn *c);
/* Stops and starts reading: back-pressure.  What is held already is not told
 * of again by on_input. */
void hb_conn_pause(struct hb_conn *c, bool pause);

/* Queues bytes; written at the end of the turn in one go. */
void hb_conn_write(struct hb_conn *c, struct hb_span s);
size_t hb_conn_pending(const struct hb_conn *c);
/*
 * Sends LEN bytes of FD from OFFSET, the body of a message, behind what is
 * queued; FD is borrowed until on_drain.  The bytes are looked at as they
 * leave, for others may still write into the file: before one that could end
 * the message early (HB_WIRE_UNSAFE) the connection is closed, on_close with
 * HB_E_CORRUPT.
 */
void hb_conn_write_body(struct hb_conn *c, int fd, uint64_t offset,
    uint64_t len);
/* Ends the connection after all output is written (TLS: close_notify first):
 * no more input is told of, and on_close with ERR 0 says that it is done.
 * Before the connection or the handshake is up it ends at once. */
void hb_conn_shutdown(struct hb_conn *c);

/*
 * STARTTLS.  Server: after the queued reply is written.  Both: HB_E_STATE
 * when input is buffered (bytes behind STARTTLS or behind its 220): the
 * caller ends the session.
 */
int hb_conn_tls_server(struct hb_conn *c, struct hb_tls *t) HB_MUSTCHECK;
/* What the server has to be; all borrowed for the call. */
struct hb_tls_want {
	/* SNI and reference name; NULL for address literals: no name check. */
	const char *name;
	/*
	 * HB_DANE_USABLE: its base is the name, and its records alone are
	 * what the certificate is compared with: facts.dane is NO, EE or TA,
	 * chain stays NONE and name_ok false.  NULL or another state: without
	 * DANE.
	 */
	const struct hb_dane *dane;
};
int hb_conn_tls_client(struct hb_conn *c, struct hb_tls *t,
    const struct hb_tls_want *want) HB_MUSTCHECK;
/* After on_close: why reading TLS failed, an alert perhaps; "": it did not. */
const char *hb_conn_tls_error(const struct hb_conn *c);
/* TLS is up: is the peer's certificate for NAME too?  For further reference
 * names; the chain is another matter. */
bool hb_conn_tls_named(const struct hb_conn *c, const char *name);

#endif
