/*
 * One TLS session.  Floor 3.  OpenSSL reads from the socket and leaves its
 * records in the connection's buffer, so that one write sends many records and
 * a record is never half written.
 */
#include "config.h"

#include "common/io/tls-priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/base/mem.h"
#include "common/io/conn.h"

/*
 * OpenSSL reads on for as long as what it gets is for itself: messages of the
 * protocol, of which a peer can send any number, each worth a lot of work.  So
 * a call takes a bounded number of bytes off the socket, and what brings
 * nothing to the owner is bounded too.
 */
enum {
	TAKEN_PER_CALL = 32 * 1024, /* beside what the owner has room for */
	/* a handshake has a chain of 100 KiB at most, then a few tickets */
	QUIET_MOST = 256 * 1024,
	WORTH = 128 /* a record with a single byte for the owner is shorter */
};

struct hb_tls_session {
	struct hb_tls *tls;
	SSL *ssl;
	int fd;
	struct hb_buf *raw;
	struct hb_tls_facts *facts;
	int syserr;
	char error[160]; /* of reading */
	size_t allowed; /* bytes that this call may still take */
	size_t quiet;   /* taken that the owner got nothing for */
	bool eof;  /* of the socket */
	bool more; /* the last read stopped before input ran out */
};

static int
sock_read(BIO *b, char *dst, int room)
{
	struct hb_tls_session *s = BIO_get_data(b);
	size_t most = (size_t)room < s->allowed ? (size_t)room : s->allowed;
	ssize_t n;

	BIO_clear_retry_flags(b);
	if (most == 0) { /* the loop calls again */
		BIO_set_retry_read(b);
		return -1;
	}
	n = recv(s->fd, dst, most, 0);
	if (n > 0) {
		s->allowed -= (size_t)n;
		s->quiet += (size_t)n;
		return (int)n;
	}
	if (n == 0)
		s->eof = true;
	else if (errno == EAGAIN || errno == EINTR)
		BIO_set_retry_read(b);
	else
		s->syserr = errno;
	return n == 0 ? 0 : -1;
}

static int
sock_write(BIO *b, const char *src, int n)
{
	struct hb_tls_session *s = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	hb_buf_add(s->raw, hb_span(src, (size_t)n));
	return n;
}

static long
sock_ctrl(BIO *b, int cmd, long larg, void *parg)
{
	const struct hb_tls_session *s = BIO_get_data(b);

	if (cmd == BIO_CTRL_EOF)
		return s->eof;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *
sock_method(void)
{
	static BIO_METHOD *m;

	if (m != NULL)
		return m;
	m = BIO_meth_new(
	    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hauberk connection");
	if (m == NULL || !BIO_meth_set_read(m, sock_read) ||
	    !BIO_meth_set_write(m, sock_write) ||
	    !BIO_meth_set_ctrl(m, sock_ctrl))
		HB_BUG("out of memory");
	return m;
}

static struct hb_tls_session *
session_new(
    struct hb_tls *t, int fd, struct hb_buf *raw, struct hb_tls_facts *facts)
{
	struct hb_tls_session *s = HB_NEW(struct hb_tls_session);
	BIO *bio = BIO_new(sock_method());

	s->tls = t;
	s->fd = fd;
	s->raw = raw;
	s->facts = facts;
	s->ssl = hb_tls_new_ssl(t);
	if (bio == NULL)
		HB_BUG("out of memory");
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio);
	SSL_set_app_data(s->ssl, facts);
	return s;
}

struct hb_tls_session *
hb_tls_session_server(struct hb_tls *t, int fd, struct hb_buf *raw,
    struct hb_tls_facts *facts, const struct hb_tls_listener *l)
{
	struct hb_tls_session *s = session_new(t, fd, raw, facts);
	unsigned char number[sizeof(uint32_t)] = { 0 };

	if (l != NULL)
		memcpy(number, &l->number, sizeof(number));
	if (SSL_set_session_id_context(s->ssl, number, sizeof(number)) != 1)
		HB_BUG("the context is short");
	if (l != NULL && l->ask)
		SSL_set_verify(s->ssl, SSL_VERIFY_PEER, NULL);
	if (l != NULL && l->aead)
		SSL_set0_security_ex_data(s->ssl, s);
	SSL_set_accept_state(s->ssl);
	return s;
}

struct hb_tls_session *
hb_tls_session_client(struct hb_tls *t, int fd, struct hb_buf *raw,
    struct hb_tls_facts *facts, const struct hb_tls_want *want)
{
	struct hb_tls_session *s = session_new(t, fd, raw, facts);
	const struct hb_dane *dane = want->dane;
	const char *name = want->name;

	if (dane != NULL && dane->state != HB_DANE_USABLE)
		dane = NULL;
	if (dane != NULL) /* RFC 7672 s8.1 */
		name = dane->base;
	SSL_set_connect_state(s->ssl);
	if (name != NULL && hb_span_copy(hb_span_str(name), facts->reference,
				sizeof(facts->reference)) == 0)
		(void)SSL_set_tlsext_host_name(s->ssl, facts->reference);
	if (dane != NULL)
		hb_tls_dane_start(facts, s->ssl, dane);
	return s;
}

void
hb_tls_session_free(struct hb_tls_session **sp)
{
	struct hb_tls_session *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	hb_tls_free_ssl(s->tls, s->ssl);
	free(s);
}

static void
begin(struct hb_tls_session *s, size_t room)
{
	ERR_clear_error();
	s->allowed = room + TAKEN_PER_CALL;
}

static enum hb_tls_step
step(struct hb_tls_session *s, int ret)
{
	switch (SSL_get_error(s->ssl, ret)) {
	case SSL_ERROR_NONE:
		return HB_TLS_STEP_OK;
	case SSL_ERROR_WANT_READ:
		return s->quiet <= QUIET_MOST ? HB_TLS_STEP_WANT
					      : HB_TLS_STEP_FAILED;
	case SSL_ERROR_ZERO_RETURN:
		return HB_TLS_STEP_CLOSED;
	default:
		return HB_TLS_STEP_FAILED;
	}
}

/* The first error in the queue is the one nearest to the cause. */
static void
tell_failure(const struct hb_tls_session *s, char *text, size_t size)
{
	const char *data = NULL, *reason;
	int flags = 0;

	reason = ERR_reason_error_string(ERR_peek_error_data(&data, &flags));
	if (s->syserr != 0)
		reason = strerror(s->syserr);
	else if (s->eof)
		reason = SSL_is_init_finished(s->ssl)
		    ? "the peer closed the connection without a word"
		    : "the peer closed the connection during the handshake";
	else if (reason == NULL)
		reason = "handshake failure";
	if ((flags & ERR_TXT_STRING) != 0 && data != NULL && data[0] != '\0')
		(void)snprintf(text, size, "%s (%s)", reason, data);
	else
		(void)snprintf(text, size, "%s", reason);
}

static void
note_failure(const struct hb_tls_session *s)
{
	char text[sizeof(s->facts->error)];

	tell_failure(s, text, sizeof(text));
	hb_tls_facts_failed(s->facts, text);
	s->facts->cut = s->syserr != 0 || s->eof;
}

enum hb_tls_step
hb_tls_session_handshake(struct hb_tls_session *s)
{
	enum hb_tls_step r;

	begin(s, 0);
	r = step(s, SSL_do_handshake(s->ssl));
	if (r == HB_TLS_STEP_WANT)
		return r;
	if (r == HB_TLS_STEP_OK) {
		s->more = SSL_has_pending(s->ssl) != 0;
		s->quiet = 0;
		hb_tls_facts_done(s->facts, s->ssl);
		return r;
	}
	note_failure(s);
	return HB_TLS_STEP_FAILED;
}

enum hb_tls_step
hb_tls_session_read(
    struct hb_tls_session *s, void *dst, size_t room, size_t *got)
{
	enum hb_tls_step r = HB_TLS_STEP_OK;

	*got = 0;
	s->more = true;
	begin(s, room);
	while (r == HB_TLS_STEP_OK && s->more && *got < room) {
		size_t n = 0;

		r = step(s, SSL_read_ex(s->ssl, (unsigned char *)dst + *got,
				room - *got, &n));
		*got += n;
		/* With nothing left inside the loop will tell of more: one
		 * system call for a message, not two. */
		if (r == HB_TLS_STEP_WANT ||
		    (r == HB_TLS_STEP_OK && SSL_has_pending(s->ssl) == 0))
			s->more = false;
	}
	s->quiet -= s->quiet < *got * WORTH ? s->quiet : *got * WORTH;
	if (r == HB_TLS_STEP_FAILED)
		tell_failure(s, s->error, sizeof(s->error));
	/* An end behind bytes is told by the next read. */
	return *got > 0 ? HB_TLS_STEP_OK : r;
}

enum hb_tls_step
hb_tls_session_write(struct hb_tls_session *s, struct hb_span plain)
{
	size_t n;

	ERR_clear_error();
	return step(s, SSL_write_ex(s->ssl, plain.p, plain.n, &n));
}

bool
hb_tls_session_pending(const struct hb_tls_session *s)
{
	return s->more;
}

void
hb_tls_session_end(struct hb_tls_session *s)
{
	ERR_clear_error();
	(void)SSL_shutdown(s->ssl);
}

const char *
hb_tls_session_error(const struct hb_tls_session *s)
{
	return s->error;
}

int
hb_tls_session_syserr(const struct hb_tls_session *s)
{
	return s->syserr;
}

bool
hb_tls_session_named(const struct hb_tls_session *s, const char *name)
{
	return hb_tls_facts_named(s->ssl, name);
}
