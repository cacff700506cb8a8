/*
 * One TLS session over a socket, driven by conn.c; contexts from tls.c, facts
 * from tls_facts.c.  Private to common/io.  Only a signature blocks here
 * (keyprov.c, bounded).
 */
#ifndef HB_IO_TLS_PRIV_H
#define HB_IO_TLS_PRIV_H

#include "common/io/tls.h"

struct asn1_string_st;
struct ssl_st;
struct x509_st;
struct x509_store_ctx_st;
struct hb_tls_session;
struct hb_tls_want;
struct hb_dane;

/* A session object with the settings of the context; keeps T until it is
 * freed. */
struct ssl_st *hb_tls_new_ssl(struct hb_tls *t);
void hb_tls_free_ssl(struct hb_tls *t, struct ssl_st *ssl);

/* The list of groups for this version of OpenSSL; static.  (Its macro wants it
 * without const.) */
char *hb_tls_groups(unsigned long version);

/* Accepts every chain and records its heaviest problem in the facts, which are
 * the session's application data. */
int hb_tls_facts_on_verify(int ok, struct x509_store_ctx_st *store);
/* Fills FACTS from a session whose handshake has ended. */
void hb_tls_facts_done(struct hb_tls_facts *facts, struct ssl_st *ssl);
/* The same for a failed handshake: WHY is our own text. */
void hb_tls_facts_failed(struct hb_tls_facts *facts, const char *why);
enum { HB_TLS_NAME = 256 };
/* The first DNS-ID of CERT, printable, or empty. */
void hb_tls_first_name(struct x509_st *cert, char dst[HB_TLS_NAME]);
/* Returns false if the certificate gives no such time. */
bool hb_tls_time(const struct asn1_string_st *time, int64_t *ms);
/* Is the peer's certificate valid for NAME? */
bool hb_tls_facts_named(struct ssl_st *ssl, const char *name);

/* DANE, RFC 7672 s3: SSL compares the peer only with D's records; FACTS are
 * those of SSL.  The second reads the result after the handshake. */
void hb_tls_dane_start(
    struct hb_tls_facts *facts, struct ssl_st *ssl, const struct hb_dane *d);
void hb_tls_dane_done(struct hb_tls_facts *facts, struct ssl_st *ssl);

/* Result of a step; bytes are counted separately. */
enum hb_tls_step {
	HB_TLS_STEP_OK,     /* done, or bytes were moved */
	HB_TLS_STEP_WANT,   /* more bytes from the peer are needed */
	HB_TLS_STEP_CLOSED, /* the peer ended the session */
	HB_TLS_STEP_FAILED
};

/*
 * RAW receives the records to send; input is read from FD.  All borrowed.  L
 * may be NULL.
 */
struct hb_tls_session *hb_tls_session_server(struct hb_tls *t, int fd,
    struct hb_buf *raw, struct hb_tls_facts *facts,
    const struct hb_tls_listener *l);
struct hb_tls_session *hb_tls_session_client(struct hb_tls *t, int fd,
    struct hb_buf *raw, struct hb_tls_facts *facts,
    const struct hb_tls_want *want);
void hb_tls_session_free(struct hb_tls_session **s);

/* After OK or FAILED the facts are complete. */
enum hb_tls_step hb_tls_session_handshake(struct hb_tls_session *s);
enum hb_tls_step hb_tls_session_read(
    struct hb_tls_session *s, void *dst, size_t room, size_t *got);
/* Makes records of all of S. */
enum hb_tls_step hb_tls_session_write(
    struct hb_tls_session *s, struct hb_span plain);
/* Are there bytes taken off the socket but not read yet? */
bool hb_tls_session_pending(const struct hb_tls_session *s);
/* Queues close_notify. */
void hb_tls_session_end(struct hb_tls_session *s);
/* After the handshake: is the peer's certificate valid for NAME? */
bool hb_tls_session_named(const struct hb_tls_session *s, const char *name);
/* errno of a failed socket, or 0. */
int hb_tls_session_syserr(const struct hb_tls_session *s);
/* Why reading failed; "" if it did not. */
const char *hb_tls_session_error(const struct hb_tls_session *s);

#endif
