/* A small certification authority, and a key agent of the test's own. */
#ifndef HB_TESTS_CERTS_H
#define HB_TESTS_CERTS_H

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/io/keysign.h"

struct cert_spec {
	const char *cn, *san;   /* SAN as OpenSSL writes it, or NULL */
	int from_days, to_days; /* around today */
	bool ca;
};

static inline void
cert_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	assert_int_equal(X509_add_ext(cert, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

/* ISSUER NULL: signed by itself.  Returns owned certificate. */
static inline X509 *
cert_new(const struct cert_spec *spec, EVP_PKEY *key, X509 *issuer,
    EVP_PKEY *issuer_key)
{
	static long serial;
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);
	bool ed;

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
	X509_time_adj_ex(X509_getm_notBefore(cert), spec->from_days, 0, NULL);
	X509_time_adj_ex(X509_getm_notAfter(cert), spec->to_days, 0, NULL);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
	    (const unsigned char *)spec->cn, -1, -1, 0);
	X509_set_issuer_name(
	    cert, issuer != NULL ? X509_get_subject_name(issuer) : subject);
	X509_set_pubkey(cert, key);
	cert_extension(cert, NID_basic_constraints,
	    spec->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	if (spec->san != NULL)
		cert_extension(cert, NID_subject_alt_name, spec->san);
	if (issuer_key == NULL)
		issuer_key = key;
	ed = EVP_PKEY_is_a(issuer_key, "ED25519");
	assert_true(X509_sign(cert, issuer_key, ed ? NULL : EVP_sha256()) > 0);
	return cert;
}

static inline struct hb_span
bio_take(BIO *bio)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);
	char *copy = hb_malloc((size_t)n);

	memcpy(copy, p, (size_t)n);
	BIO_free(bio);
	return hb_span(copy, (size_t)n);
}

/* Owned bytes: pem_free. */
static inline struct hb_span
cert_pem(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	return bio_take(bio);
}

static inline struct hb_span
key_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(
	    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	return bio_take(bio);
}

static inline void
pem_free(struct hb_span s)
{
	void *p;

	memcpy(&p, &s.p, sizeof(p));
	free(p);
}

/* The agent: the real handler in a process of its own. */

static struct hb_keyset *agent_keys;

static inline bool
agent_on(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	if (type != HB_IPC_SIGN)
		return false;
	hb_keyset_answer(agent_keys, p, &m->sign);
	return true;
}

static inline void
agent_on_close(void *ctx, struct hb_peer *p, const char *why)
{
	hb_loop_stop(ctx);
}

static inline void
agent_main(int fd, EVP_PKEY *const *keys, size_t n)
{
	static const struct hb_peer_ops ops = { agent_on, agent_on_close,
		NULL };
	struct hb_loop *l = hb_loop_new();

	agent_keys = hb_keyset_new();
	for (size_t i = 0; i < n; i++)
		if (hb_keyset_add(agent_keys, key_pem(keys[i])) != 0)
			_exit(1);
	(void)hb_peer_new(l, fd, HB_ROLE_KEYAGENT, HB_ROLE_SMTPD, 0, &ops, l);
	_exit(hb_loop_run(l) == 0 ? 0 : 2);
}

/* Starts an agent that holds KEYS; *FD is our end of its channel. */
static inline pid_t
agent_start(EVP_PKEY *const *keys, size_t n, int *fd)
{
	int pair[2];
	pid_t pid;

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pair[0]);
		agent_main(pair[1], keys, n);
	}
	close(pair[1]);
	*fd = pair[0];
	return pid;
}

static inline void
agent_end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

#endif
