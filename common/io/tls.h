/*
 * TLS contexts and facts.  Floor 3: only this, conn.h, keyprov and the key
 * agent use OpenSSL.  Facts are always gathered, and judged elsewhere.
 */
#ifndef HB_IO_TLS_H
#define HB_IO_TLS_H

#include "common/base/buf.h"
#include "common/proto/conf.h"
#include "common/proto/tlsfacts.h"

struct hb_tls; /* a context: server or client side */

/* What a listener asks of a session with a client. */
struct hb_tls_listener {
	uint32_t number; /* a ticket counts only where it was given */
	bool ask;	 /* for a certificate, without demanding one */
	bool aead;	 /* no CBC: programs of people have had better for long */
};

/*
 * Signs through the key agent: blocks at most 200 ms on FD, a socket of its own
 * to the key agent for SIGN and SIGNATURE frames.  After a timeout signatures
 * fail at once until the pending answer has come; after a broken or closed
 * channel, until a new FD is set.
 */
struct hb_keyclient;
struct hb_keyclient *hb_keyclient_new(void);
void hb_keyclient_set_fd(struct hb_keyclient *k, int fd); /* takes; -1: down */
void hb_keyclient_free(struct hb_keyclient **k);
/* Calls BROKEN if the agent sends an answer that was not requested, or none for
 * ten seconds: a new agent is needed. */
void hb_keyclient_on_broken(struct hb_keyclient *k,
    void (*broken)(void *ctx, const char *why), void *ctx);

/* Server side: certificate chains in PEM; the key of chain I is key I of the
 * key agent.  A client gets the first that is good for the name it asks for, of
 * each kind of key (RSA, EC, Ed25519); without such a name, the same for the
 * name of the first chain.  Returns NULL with ERR filled. */
struct hb_tls *hb_tls_server_new(const struct hb_span *chains, size_t n,
    enum hb_tls_version min, struct hb_keyclient *keys, struct hb_buf *err);
size_t hb_tls_chains(const struct hb_tls *t);
/* First DNS-ID of a server's chain I, printable; or "". */
const char *hb_tls_name(const struct hb_tls *t, size_t i);
/* Is chain I the same certificate in both? */
bool hb_tls_is_same(const struct hb_tls *t, const struct hb_tls *u, size_t i);
/* Validity period of a server's chain I. */
bool hb_tls_validity(const struct hb_tls *t, size_t i, int64_t *from_ms,
    int64_t *to_ms);
/* Client side: trusted roots in PEM bundles.  Presents no certificate. */
struct hb_tls *hb_tls_client_new(const struct hb_span *bundles, size_t n,
    enum hb_tls_version min, struct hb_buf *err);
/* X509_STORE * of a client context, borrowed: policy fetch shares it. */
void *hb_tls_store(struct hb_tls *t);
/* Limits the cost that one server can cause, in any client context (SSL_CTX *):
 * groups of unknown origin above 4,096 bits are refused, and a read ends when
 * it yields only messages of TLS itself. */
void hb_tls_bound(void *ssl_ctx);
void hb_tls_free(struct hb_tls **t); /* connections in use keep it alive */

/*
 * Makes a P-256 key and a self-signed certificate for NAME, both PEM, valid for
 * ten years.  Used by the parent at first start.
 */
int hb_tls_self_signed(const char *name, int64_t now_ms, struct hb_buf *cert,
    struct hb_buf *key) HB_MUSTCHECK;

#endif
