/*
 * DANE in connections, beside certificates that are made here: DANE-11 to
 * DANE-16.  Each row runs with and without a trusted root, in TLS 1.2 and
 * 1.3: only the records may count.
 */
#include "tests/unit/unit.h"

#include "tests/unit/certs.h"
#include "tests/unit/conn_side.h"

#include <openssl/ssl.h>

#include "common/io/tls-priv.h"

/* A certificate is called by a letter: issuers by a capital one. */
static const struct maker {
	char id, by; /* BY itself: self-signed */
	struct cert_spec spec;
} makers[] = {
	{ 'R', 'R', { "Root", NULL, -1, 10, true } },
	{ 'I', 'R', { "Intermediate", NULL, -1, 10, true } },
	{ 'N', 'R', { "No CA", NULL, -1, 10, false } },
	{ 'X', 'X', { "Expired Root", NULL, -9, -1, true } },
	/* the root's name, another key */
	{ 'F', 'F', { "Root", NULL, -1, 10, true } },
	{ 'g', 'R', { "x", "DNS:mx.example", -1, 5, false } },
	{ 'h', 'R', { "x", "DNS:mx.example,DNS:h.example", -1, 5, false } },
	{ 'e', 'R', { "x", "DNS:mx.example", -9, -1, false } },
	{ 'y', 'R', { "x", "DNS:mx.example", 2, 9, false } },
	{ 'w', 'R', { "x", "DNS:other.example", -1, 5, false } },
	{ 'd', 'R', { "x", "DNS:example", -1, 5, false } },
	{ 'c', 'R', { "mx.example", NULL, -1, 5, false } },
	{ 'b', 'R', { "mx.example", "DNS:other.example", -1, 5, false } },
	{ 'v', 'R', { "x", "DNS:*.mx.example", -1, 5, false } },
	{ 'p', 'R', { "x", "DNS:i*.mx.example", -1, 5, false } },
	{ 'i', 'I', { "x", "DNS:mx.example", -1, 5, false } },
	{ 'n', 'N', { "x", "DNS:mx.example", -1, 5, false } },
	{ 'x', 'X', { "x", "DNS:mx.example", -1, 5, false } },
	{ 'f', 'F', { "x", "DNS:mx.example", -1, 5, false } },
	{ 's', 's', { "x", "DNS:mx.example", -1, 5, false } },
	{ 'a', 'a', { "x", "DNS:mx.example", -1, 5, true } },
};
static X509 *made[256];
static EVP_PKEY *keys_of[256], *leaf_key;
static struct hb_keyclient *keys;
static pid_t agent;

/*
 * SENT: the server's chain, leaf first.  RECORDS: usage, selector, matching
 * type and the certificate they are for; then `!': one bit of the data is
 * another, `-': its last byte is gone, `~': there is none.
 */
/* clang-format off */
static const struct row {
	const char *name, *sent, *records;
	enum hb_dane_match want;
	int code;
	const char *also; /* a further reference name */
} rows[] = {
	/* DANE-11: usage 3 */
	{ "3 0 0", "gR", "300g", HB_DANE_EE, 0, NULL },
	{ "3 0 1", "gR", "301g", HB_DANE_EE, 0, NULL },
	{ "3 0 2", "gR", "302g", HB_DANE_EE, 0, NULL },
	{ "3 1 0", "gR", "310g", HB_DANE_EE, 0, NULL },
	{ "3 1 1", "gR", "311g", HB_DANE_EE, 0, NULL },
	{ "3 1 2", "gR", "312g", HB_DANE_EE, 0, NULL },
	{ "3, leaf alone is sent", "g", "311g", HB_DANE_EE, 0, NULL },
	{ "3, self-signed", "s", "311s", HB_DANE_EE, 0, NULL },
	{ "3, self-signed, CA", "a", "301a", HB_DANE_EE, 0, NULL },
	{ "3, expired", "e", "311e", HB_DANE_EE, 0, NULL },
	{ "3, not yet valid", "y", "301y", HB_DANE_EE, 0, NULL },
	{ "3, of another name", "wR", "311w", HB_DANE_EE, 0, NULL },
	{ "3, no DNS-ID", "c", "301c", HB_DANE_EE, 0, NULL },
	{ "3, renewed with the same key", "wR", "311g", HB_DANE_EE, 0, NULL },
	{ "3 0 1, renewed with the same key", "wR", "301g", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "3 0 0, another's", "gR", "300w", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "3 0 1, another's", "gR", "301w", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "3 1 0, another's", "gR", "310F", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "3 1 1, another's", "gR", "311F", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "3 1 2, one bit", "gR", "312g!", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "3 0 1, one bit", "gR", "301g!", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "3 is for the leaf, not for its root", "gR", "301R", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "3 1 1, for its root", "gR", "311R", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "3, key where the certificate is meant", "gR", "301g! 311g!",
	    HB_DANE_NO, X509_V_ERR_DANE_NO_MATCH, NULL },
	/* DANE-12: usage 2 */
	{ "2 0 0", "gR", "200R", HB_DANE_TA, 0, NULL },
	{ "2 0 1", "gR", "201R", HB_DANE_TA, 0, NULL },
	{ "2 0 2", "gR", "202R", HB_DANE_TA, 0, NULL },
	{ "2 1 0", "gR", "210R", HB_DANE_TA, 0, NULL },
	{ "2 1 1", "gR", "211R", HB_DANE_TA, 0, NULL },
	{ "2 1 2", "gR", "212R", HB_DANE_TA, 0, NULL },
	{ "2, by an intermediate", "iIR", "201R", HB_DANE_TA, 0, NULL },
	{ "2, the intermediate", "iIR", "201I", HB_DANE_TA, 0, NULL },
	{ "2, the intermediate, no root is sent", "iI", "211I", HB_DANE_TA, 0,
	    NULL },
	{ "2, chain in disorder", "iRI", "201R", HB_DANE_TA, 0, NULL },
	{ "2, intermediate missing", "iR", "201R", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2 0 0, anchor in DNS alone", "g", "200R", HB_DANE_TA, 0, NULL },
	{ "2 0 0, anchor in DNS alone, intermediate", "iI", "200R", HB_DANE_TA,
	    0, NULL },
	{ "2 0 0, the intermediate in DNS alone", "i", "200I", HB_DANE_TA, 0,
	    NULL },
	{ "2 1 0, key in DNS alone", "g", "210R", HB_DANE_TA, 0, NULL },
	{ "2 1 0, key in DNS alone, intermediate", "iI", "210R", HB_DANE_TA, 0,
	    NULL },
	{ "2 0 1, anchor not sent", "g", "201R", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2 1 1, anchor not sent", "g", "211R", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2 1 1, anchor not sent, intermediate", "iI", "211R", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2, another's", "gR", "201I", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2, another's is sent too", "gRF", "201F", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2 0 0, another's", "g", "200I", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2 1 0, another's", "g", "210I", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2, one bit", "gR", "211R!", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2, expired", "eR", "201R", HB_DANE_NO, X509_V_ERR_CERT_HAS_EXPIRED,
	    NULL },
	{ "2 0 0, expired", "e", "200R", HB_DANE_NO,
	    X509_V_ERR_CERT_HAS_EXPIRED, NULL },
	{ "2 1 0, expired", "e", "210R", HB_DANE_NO,
	    X509_V_ERR_CERT_HAS_EXPIRED, NULL },
	{ "2, not yet valid", "yR", "201R", HB_DANE_NO,
	    X509_V_ERR_CERT_NOT_YET_VALID, NULL },
	{ "2, expired anchor", "xX", "201X", HB_DANE_NO,
	    X509_V_ERR_CERT_HAS_EXPIRED, NULL },
	{ "2, anchor is no CA", "nN", "201N", HB_DANE_NO,
	    X509_V_ERR_INVALID_CA, NULL },
	{ "2 0 0, anchor is no CA", "n", "200N", HB_DANE_NO,
	    X509_V_ERR_INVALID_CA, NULL },
	{ "2, no CA on the way", "nNR", "201R", HB_DANE_NO,
	    X509_V_ERR_INVALID_CA, NULL },
	{ "2, false anchor of the same name", "fF", "201R", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2, the true anchor beside a false chain", "fR", "201R", HB_DANE_NO,
	    X509_V_ERR_CERT_SIGNATURE_FAILURE, NULL },
	{ "2 0 0, false chain", "f", "200R", HB_DANE_NO,
	    X509_V_ERR_CERT_SIGNATURE_FAILURE, NULL },
	{ "2 1 0, false chain", "f", "210R", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2, the leaf itself", "gR", "201g", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2, a self-signed leaf", "s", "201s", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2 0 0, a self-signed leaf", "s", "200s", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2, a self-signed leaf that is a CA", "a", "201a", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	/* DANE-14: names of usage 2 */
	{ "2, of another name", "wR", "201R", HB_DANE_NO,
	    X509_V_ERR_HOSTNAME_MISMATCH, NULL },
	{ "2 0 0, of another name", "w", "200R", HB_DANE_NO,
	    X509_V_ERR_HOSTNAME_MISMATCH, NULL },
	{ "2 1 0, of another name", "w", "210R", HB_DANE_NO,
	    X509_V_ERR_HOSTNAME_MISMATCH, NULL },
	{ "2, of the domain", "dR", "201R", HB_DANE_TA, 0, "example" },
	{ "2, of the domain, which is no reference name", "dR", "201R",
	    HB_DANE_NO, X509_V_ERR_HOSTNAME_MISMATCH, NULL },
	{ "2, neither of two", "wR", "201R", HB_DANE_NO,
	    X509_V_ERR_HOSTNAME_MISMATCH, "example" },
	{ "2, an empty further name", "wR", "201R", HB_DANE_NO,
	    X509_V_ERR_HOSTNAME_MISMATCH, "" },
	{ "2, common name", "cR", "201R", HB_DANE_TA, 0, NULL },
	{ "2, common name beside a DNS-ID", "bR", "201R", HB_DANE_NO,
	    X509_V_ERR_HOSTNAME_MISMATCH, NULL },
	{ "2, wildcard", "vR", "201R", HB_DANE_TA, 0, "in.mx.example" },
	{ "2, wildcard for two labels", "vR", "201R", HB_DANE_NO,
	    X509_V_ERR_HOSTNAME_MISMATCH, "in.in.mx.example" },
	{ "2, wildcard for none", "vR", "201R", HB_DANE_NO,
	    X509_V_ERR_HOSTNAME_MISMATCH, NULL },
	{ "2, wildcard in a label", "pR", "201R", HB_DANE_NO,
	    X509_V_ERR_HOSTNAME_MISMATCH, "in.mx.example" },
	/* DANE-15: digest agility */
	{ "weak one matches, strong one fails", "gR", "311g 312g!", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "the same in the other order", "gR", "312g! 311g", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "weak one fails, strong one matches", "gR", "311g! 312g",
	    HB_DANE_EE, 0, NULL },
	{ "one of two strong ones", "gR", "312g 312g! 311g!", HB_DANE_EE, 0,
	    NULL },
	{ "full counts beside a strong one", "gR", "310g 312g!", HB_DANE_EE, 0,
	    NULL },
	{ "full fails beside a weak one", "gR", "310F 311g", HB_DANE_EE, 0,
	    NULL },
	{ "each selector for itself", "gR", "311g 302g!", HB_DANE_EE, 0,
	    NULL },
	{ "each usage for itself", "gR", "311g 202R!", HB_DANE_EE, 0, NULL },
	{ "2, weak one matches, strong one fails", "gR", "201R 202R!",
	    HB_DANE_NO, X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "2, weak one fails, strong one matches", "gR", "201R! 202R",
	    HB_DANE_TA, 0, NULL },
	{ "2, weak root, strong intermediate that is not there", "gR",
	    "211R 212I", HB_DANE_NO, X509_V_ERR_DANE_NO_MATCH,
	    NULL },
	{ "2, full counts beside a strong one", "g", "200R 202I", HB_DANE_TA,
	    0, NULL },
	/* malformed ones are dropped before that */
	{ "digest too short beside a good one", "gR", "312g- 311g", HB_DANE_EE,
	    0, NULL },
	{ "digest too short alone", "gR", "311g-", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "no data", "gR", "311g~ 301g~ 300g~ 210R~", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
	{ "3 0 0, cut", "gR", "300g-", HB_DANE_NO, X509_V_ERR_DANE_NO_MATCH,
	    NULL },
	{ "3 1 0, cut", "gR", "310g-", HB_DANE_NO, X509_V_ERR_DANE_NO_MATCH,
	    NULL },
	{ "2 0 0, cut", "gR", "200R-", HB_DANE_NO, X509_V_ERR_DANE_NO_MATCH,
	    NULL },
	{ "2 1 0, cut, beside a good one", "gR", "210R- 201R", HB_DANE_TA, 0,
	    NULL },
	/* several records */
	{ "rollover, the old one", "gR", "311g 311F", HB_DANE_EE, 0, NULL },
	{ "rollover, the new one", "gR", "311F 311g", HB_DANE_EE, 0, NULL },
	{ "rollover of anchors", "gR", "201F 201R", HB_DANE_TA, 0, NULL },
	{ "usage 3 fails, usage 2 matches", "gR", "311F 211R", HB_DANE_TA, 0,
	    NULL },
	{ "usage 3 matches, usage 2 would not", "eR", "311e 201R", HB_DANE_EE,
	    0, NULL },
	{ "usage 3 fails, usage 2 has expired", "eR", "311F 201R", HB_DANE_NO,
	    X509_V_ERR_CERT_HAS_EXPIRED, NULL },
	{ "usage 3 fails, usage 2 has another name", "wR", "311F 201R",
	    HB_DANE_NO, X509_V_ERR_HOSTNAME_MISMATCH, NULL },
	{ "neither", "gR", "311F 211F 201I 301w", HB_DANE_NO,
	    X509_V_ERR_DANE_NO_MATCH, NULL },
};
/* clang-format on */

static void
make_all(void)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(makers); i++) {
		const struct maker *m = &makers[i];
		unsigned id = (unsigned char)m->id, by = (unsigned char)m->by;
		bool leaf = m->id >= 'a';

		keys_of[id] = leaf ? leaf_key : EVP_EC_gen("P-256");
		made[id] = m->id == m->by
			       ? cert_new(&m->spec, keys_of[id], NULL, NULL)
			       : cert_new(&m->spec, keys_of[id], made[by],
				     keys_of[by]);
	}
}

static int
setup(void **state)
{
	int fd;

	leaf_key = EVP_EC_gen("P-256");
	make_all();
	agent = agent_start((EVP_PKEY *[]){ leaf_key, leaf_key }, 2, &fd);
	keys = hb_keyclient_new();
	hb_keyclient_set_fd(keys, fd);
	return loop_setup(state);
}

static int
teardown(void **state)
{
	hb_keyclient_free(&keys);
	agent_end(agent);
	for (size_t i = 0; i < HB_ARRAY_LEN(made); i++) {
		X509_free(made[i]);
		if (keys_of[i] != leaf_key)
			EVP_PKEY_free(keys_of[i]);
	}
	EVP_PKEY_free(leaf_key);
	return loop_teardown(state);
}

/* IDS: the chain. */
static struct hb_tls *
server_of(const char *ids, int version)
{
	struct hb_buf pem = HB_BUF_INIT(0), err = HB_BUF_INIT(0);
	struct hb_tls *t;
	struct hb_span all;
	SSL *ssl;

	for (; *ids != '\0'; ids++) {
		struct hb_span one = cert_pem(made[(unsigned char)*ids]);

		hb_buf_add(&pem, one);
		pem_free(one);
	}
	all = hb_buf_span(&pem);
	t = hb_tls_server_new(&all, 1, HB_TLSVER_1_2, keys, &err);
	assert_non_null(t);
	ssl = hb_tls_new_ssl(t);
	SSL_CTX_set_max_proto_version(SSL_get_SSL_CTX(ssl), version);
	hb_tls_free_ssl(t, ssl);
	hb_buf_free(&pem);
	return t;
}

/* With the roots in IDS. */
static struct hb_tls *
client_of(const char *ids)
{
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_span pem[4] = { HB_SPAN_NONE };
	struct hb_tls *t;
	size_t n = strlen(ids);

	for (size_t i = 0; i < n; i++)
		pem[i] = cert_pem(made[(unsigned char)ids[i]]);
	t = hb_tls_client_new(pem, n, HB_TLSVER_1_2, &err);
	assert_non_null(t);
	for (size_t i = 0; i < n; i++)
		pem_free(pem[i]);
	return t;
}

/* Owned bytes: pem_free. */
static struct hb_span
association(X509 *cert, int selector, int match)
{
	unsigned char *der = NULL, *p = hb_malloc(4096);
	unsigned n = 64;
	int len = selector == 0
		      ? i2d_X509(cert, &der)
		      : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

	assert_in_range(len, 1, 4096);
	if (match == 0)
		memcpy(p, der, n = (unsigned)len);
	else
		assert_int_equal(
		    EVP_Digest(der, (size_t)len, p, &n,
			match == 1 ? EVP_sha256() : EVP_sha512(), NULL),
		    1);
	OPENSSL_free(der);
	return hb_span(p, n);
}

static void
spoil(struct hb_span *data, char how)
{
	unsigned char *last;

	memcpy(&last, &data->p, sizeof(last));
	last += data->n - 1;
	if (how == '!')
		*last ^= 1;
	if (how == '-')
		data->n--;
	if (how == '~')
		data->n = 0;
}

/* As they would come from DNS, but what is no use is not taken out: OpenSSL
 * is to see it.  One set at a time. */
static void
read_records(const char *s, struct hb_dane *d)
{
	static struct hb_tlsa records[32];

	d->rr = records;
	while (*s != '\0') {
		struct hb_tlsa *t = &records[d->n++];

		t->usage = (uint8_t)(s[0] - '0');
		t->selector = (uint8_t)(s[1] - '0');
		t->match = (uint8_t)(s[2] - '0');
		t->data = association(
		    made[(unsigned char)s[3]], t->selector, t->match);
		spoil(&t->data, s[4]);
		s += strcspn(s, " ");
		s += strspn(s, " ");
	}
}

static void
free_records(struct hb_dane *d)
{
	for (size_t i = 0; i < d->n; i++)
		pem_free(d->rr[i].data);
}

static struct hb_tls_facts
meet(struct hb_tls *client, const struct hb_tls_want *want,
    struct hb_tls *server)
{
	struct side a = { 0 }, b = { 0 };
	int fd[2];

	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 65536, &side_ops, &a);
	b.c = hb_conn_attach(loop, fd[1], 65536, &side_ops, &b);
	assert_int_equal(hb_conn_tls_server(b.c, server, NULL), 0);
	assert_int_equal(hb_conn_tls_client(a.c, client, want), 0);
	run_until(a.tls == 1 && b.tls == 1);
	side_end(&a);
	side_end(&b);
	return a.facts;
}

static void
check_facts(const struct row *row, const struct hb_tls_facts *f)
{
	char word[32];

	assert_int_equal(f->state, HB_TLSF_DONE);
	assert_int_equal(f->dane, row->want);
	assert_int_equal(f->verify_code, row->code);
	assert_int_equal(f->error[0] == '\0', row->code == 0);
	assert_int_equal(f->chain, HB_CHAIN_NONE);
	assert_false(f->name_ok);
	assert_false(hb_tls_facts_verified(f));
	assert_int_equal(hb_tls_facts_dane(f), row->want != HB_DANE_NO);
	assert_true(f->dane_digest == 4711);
	assert_string_equal(f->reference, "mx.example");
	assert_true(f->not_after_ms != 0);
	hb_tls_facts_word(f, word);
	assert_string_equal(
	    word + 8, row->want != HB_DANE_NO ? "dane" : "unverified");
}

static void
check_row(const struct row *row, const char *roots, int version)
{
	struct hb_tls *client = client_of(roots),
		      *server = server_of(row->sent, version);
	struct hb_dane d = { .state = HB_DANE_USABLE,
		.digest = 4711,
		.base = "mx.example",
		.names = { "mx.example", row->also },
		.nnames = row->also != NULL ? 2 : 1 };
	struct hb_tls_want want = { "ignored.example", &d };
	struct hb_tls_facts f;

	print_message("%s; roots `%s'\n", row->name, roots);
	read_records(row->records, &d);
	f = meet(client, &want, server);
	check_facts(row, &f);
	assert_int_equal(f.version, version == TLS1_3_VERSION ? 13 : 12);
	free_records(&d);
	hb_tls_free(&client);
	hb_tls_free(&server);
}

static void
test_DANE_11_12_14_15_records(void **state)
{
	static const char *const roots[] = { "", "RXFa" };
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		for (size_t j = 0; j < 4; j++)
			check_row(&rows[i], roots[j & 1], versions[j >> 1]);
}

/* Without records, or with none that can be used, as ever; and the subject
 * never counts there (RFC 8461 s4.2). */
static void
test_DANE_13_without_usable_records(void **state)
{
	static const struct {
		enum hb_dane_state state;
		const char *sent;
		enum hb_chain_state chain;
		bool name_ok;
	} cases[] = {
		{ HB_DANE_UNUSABLE, "gR", HB_CHAIN_OK, true },
		{ HB_DANE_NONE, "gR", HB_CHAIN_OK, true },
		{ HB_DANE_UNUSABLE, "cR", HB_CHAIN_OK, false },
		{ HB_DANE_INSECURE, "s", HB_CHAIN_SELF_SIGNED, true },
	};
	struct hb_tls *client = client_of("R");

	for (size_t i = 0; i < HB_ARRAY_LEN(cases); i++) {
		struct hb_tls *server =
		    server_of(cases[i].sent, TLS1_3_VERSION);
		struct hb_dane d = { .state = cases[i].state,
			.base = "base.example" };
		struct hb_tls_want want = { "mx.example", &d };
		struct hb_tls_facts f = meet(client, &want, server);

		assert_int_equal(f.dane, HB_DANE_UNTRIED);
		assert_true(f.dane_digest == 0);
		assert_int_equal(f.chain, cases[i].chain);
		assert_int_equal(f.name_ok, cases[i].name_ok);
		assert_string_equal(f.reference, "mx.example");
		assert_false(hb_tls_facts_dane(&f));
		hb_tls_free(&server);
	}
	hb_tls_free(&client);
}

/* A session's DANE is its own: the next one over the same context has
 * none. */
static void
sessions_do_not_meet(void **state)
{
	struct hb_tls *client = client_of("R"),
		      *server = server_of("gR", TLS1_3_VERSION);
	struct hb_dane d = {
		.state = HB_DANE_USABLE, .digest = 1, .base = "mx.example"
	};
	struct hb_tls_want dane = { NULL, &d }, plain = { "mx.example", NULL };
	struct hb_tls_facts f;

	read_records("311g", &d);
	for (int i = 0; i < 2; i++) {
		f = meet(client, &dane, server);
		assert_int_equal(f.dane, HB_DANE_EE);
		f = meet(client, &plain, server);
		assert_int_equal(f.dane, HB_DANE_UNTRIED);
		assert_true(hb_tls_facts_verified(&f));
	}
	free_records(&d);
	hb_tls_free(&client);
	hb_tls_free(&server);
}

static void
test_DANE_16_base_is_sni(void **state)
{
	static const struct {
		const char *base, *records;
		enum hb_dane_match want;
	} cases[] = {
		{ "h.example", "301h", HB_DANE_EE },
		{ "h.example", "201R", HB_DANE_TA },
		{ "other.example", "301w", HB_DANE_EE },
		{ "other.example", "301h", HB_DANE_NO },
	};
	struct hb_span pem[] = { cert_pem(made['h']), cert_pem(made['w']) };
	struct hb_span root = cert_pem(made['R']);
	struct hb_buf first = HB_BUF_INIT(0), err = HB_BUF_INIT(0);
	struct hb_span chains[2] = { HB_SPAN_NONE, pem[1] };
	struct hb_tls *client = client_of(""), *server;

	hb_buf_add(&first, pem[0]);
	hb_buf_add(&first, root);
	chains[0] = hb_buf_span(&first);
	server = hb_tls_server_new(chains, 2, HB_TLSVER_1_2, keys, &err);
	assert_non_null(server);
	for (size_t i = 0; i < HB_ARRAY_LEN(cases); i++) {
		struct hb_dane d = { .state = HB_DANE_USABLE,
			.digest = 1,
			.base = cases[i].base };
		struct hb_tls_want want = { "mx.example", &d };

		read_records(cases[i].records, &d);
		assert_int_equal(
		    meet(client, &want, server).dane, cases[i].want);
		free_records(&d);
	}
	hb_buf_free(&first);
	pem_free(pem[0]);
	pem_free(pem[1]);
	pem_free(root);
	hb_tls_free(&client);
	hb_tls_free(&server);
}

/* No name is no licence: OpenSSL would check none. */
static void
a_base_that_is_no_name_matches_nothing(void **state)
{
	static char longest[300];
	const char *bases[] = { "", longest };
	struct hb_tls *client = client_of("R"),
		      *server = server_of("wR", TLS1_3_VERSION);

	memset(longest, 'a', sizeof(longest) - 1);
	for (size_t i = 0; i < HB_ARRAY_LEN(bases); i++) {
		struct hb_dane d = {
			.state = HB_DANE_USABLE, .digest = 1, .base = bases[i]
		};
		struct hb_tls_want want = { NULL, &d };

		read_records("201R", &d);
		assert_int_equal(meet(client, &want, server).dane, HB_DANE_NO);
		free_records(&d);
	}
	hb_tls_free(&client);
	hb_tls_free(&server);
}

static void
a_failed_handshake_matches_nothing(void **state)
{
	struct hb_tls *client = client_of("R");
	struct hb_dane d = {
		.state = HB_DANE_USABLE, .digest = 1, .base = "mx.example"
	};
	struct hb_tls_want want = { NULL, &d };
	struct side a = { 0 };
	int fd[2];

	read_records("311g", &d);
	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 65536, &side_ops, &a);
	assert_int_equal(hb_conn_tls_client(a.c, client, &want), 0);
	shutdown(fd[1], SHUT_WR);
	run_until(a.closed == 1);
	assert_int_equal(a.facts.state, HB_TLSF_FAILED);
	assert_int_equal(a.facts.dane, HB_DANE_NO);
	assert_false(hb_tls_facts_dane(&a.facts));
	close(fd[1]);
	side_end(&a);
	free_records(&d);
	hb_tls_free(&client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_DANE_11_12_14_15_records),
		cmocka_unit_test(test_DANE_13_without_usable_records),
		cmocka_unit_test(test_DANE_16_base_is_sni),
		cmocka_unit_test(sessions_do_not_meet),
		cmocka_unit_test(a_base_that_is_no_name_matches_nothing),
		cmocka_unit_test(a_failed_handshake_matches_nothing),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}
