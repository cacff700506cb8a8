/* TLS in connections: the facts about certificates, STARTTLS and what must
 * not come before it, transfers.  STS-25, STS-34, TLS-01. */
#include "tests/unit/unit.h"

#include "tests/unit/certs.h"
#include "tests/unit/conn_side.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>

#include "common/io/certcheck.h"
#include "common/io/tls-priv.h"

enum { LARGE = 4 << 20, FLOOD = 400 * 1024 };

static EVP_PKEY *ca_key, *other_key, *leaf_key;
static X509 *ca, *other_ca;
static struct hb_span ca_pem;
static struct hb_keyclient *keys;
static pid_t agent;

static int
setup(void **state)
{
	static const struct cert_spec root = { "Test CA", NULL, -1, 10, true };
	static const struct cert_spec stranger = { "Other CA", NULL, -1, 10,
		true };
	int fd;

	ca_key = EVP_EC_gen("P-256");
	other_key = EVP_EC_gen("P-256");
	leaf_key = EVP_EC_gen("P-256");
	ca = cert_new(&root, ca_key, NULL, NULL);
	other_ca = cert_new(&stranger, other_key, NULL, NULL);
	ca_pem = cert_pem(ca);
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
	pem_free(ca_pem);
	X509_free(ca);
	X509_free(other_ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(other_key);
	EVP_PKEY_free(leaf_key);
	return loop_teardown(state);
}

static struct hb_tls *
server_of(X509 *cert)
{
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_span pem = cert_pem(cert);
	struct hb_tls *t =
	    hb_tls_server_new(&pem, 1, HB_TLSVER_1_2, keys, &err);

	assert_non_null(t);
	pem_free(pem);
	return t;
}

static struct hb_tls *
client_new(void)
{
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_tls *t = hb_tls_client_new(&ca_pem, 1, HB_TLSVER_1_2, &err);

	assert_non_null(t);
	return t;
}

/* Both ends of a socketpair, TLS under way. */
static void
start_tls(struct side *a, struct hb_tls *client, const char *name,
    struct side *b, struct hb_tls *server)
{
	int fd[2];

	make_pair(fd);
	a->c = hb_conn_attach(loop, fd[0], 65536, &side_ops, a);
	b->c = hb_conn_attach(loop, fd[1], 65536, &side_ops, b);
	assert_int_equal(hb_conn_tls_server(b->c, server, NULL), 0);
	assert_int_equal(hb_conn_tls_client(
				 a->c, client, &WANT(name)), 0);
}

static void
handshake(struct side *a, struct hb_tls *client, const char *name,
    struct side *b, struct hb_tls *server)
{
	start_tls(a, client, name, b, server);
	run_until(a->tls == 1 && b->tls == 1);
}

/* Who signed a certificate of the table. */
enum signer { BY_CA, BY_STRANGER, BY_ITSELF };

/* clang-format off */
static const struct fact_row {
	const char *name;
	struct cert_spec cert;
	enum signer by;
	const char *reference;
	enum hb_chain_state chain;
	bool name_ok;
	int code;
} fact_rows[] = {
	{ "good", { "x", "DNS:mx.example", -1, 5, false }, BY_CA,
	    "mx.example", HB_CHAIN_OK, true, X509_V_OK },
	{ "good, other case", { "x", "DNS:MX.example", -1, 5, false }, BY_CA,
	    "mx.EXAMPLE", HB_CHAIN_OK, true, X509_V_OK },
	{ "second name", { "x", "DNS:a.example,DNS:mx.example", -1, 5, false },
	    BY_CA, "mx.example", HB_CHAIN_OK, true, X509_V_OK },
	{ "expired", { "x", "DNS:mx.example", -9, -1, false }, BY_CA,
	    "mx.example", HB_CHAIN_EXPIRED, true,
	    X509_V_ERR_CERT_HAS_EXPIRED },
	{ "not yet valid", { "x", "DNS:mx.example", 2, 5, false }, BY_CA,
	    "mx.example", HB_CHAIN_EXPIRED, true,
	    X509_V_ERR_CERT_NOT_YET_VALID },
	{ "wrong name", { "x", "DNS:mx2.example", -1, 5, false }, BY_CA,
	    "mx.example", HB_CHAIN_OK, false, X509_V_OK },
	{ "common name only", { "mx.example", NULL, -1, 5, false }, BY_CA,
	    "mx.example", HB_CHAIN_OK, false, X509_V_OK },
	{ "common name beside another", { "mx.example", "DNS:a.example", -1,
	    5, false }, BY_CA, "mx.example", HB_CHAIN_OK, false, X509_V_OK },
	{ "self-signed", { "mx.example", "DNS:mx.example", -1, 5, false },
	    BY_ITSELF, "mx.example", HB_CHAIN_SELF_SIGNED, true,
	    X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT },
	{ "self-signed and expired", { "mx.example", "DNS:mx.example", -9, -1,
	    false }, BY_ITSELF, "mx.example", HB_CHAIN_SELF_SIGNED, true,
	    X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT },
	{ "untrusted root", { "x", "DNS:mx.example", -1, 5, false },
	    BY_STRANGER, "mx.example", HB_CHAIN_UNTRUSTED, true,
	    X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY },
	{ "untrusted and expired", { "x", "DNS:mx.example", -9, -1, false },
	    BY_STRANGER, "mx.example", HB_CHAIN_UNTRUSTED, true,
	    X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY },
	{ "wildcard, one label", { "x", "DNS:*.example.org", -1, 5, false },
	    BY_CA, "mx.example.org", HB_CHAIN_OK, true, X509_V_OK },
	{ "wildcard, two labels", { "x", "DNS:*.example.org", -1, 5, false },
	    BY_CA, "a.mx.example.org", HB_CHAIN_OK, false, X509_V_OK },
	{ "wildcard, no label", { "x", "DNS:*.example.org", -1, 5, false },
	    BY_CA, "example.org", HB_CHAIN_OK, false, X509_V_OK },
	{ "wildcard, part of a label", { "x", "DNS:mx*.example.org", -1, 5,
	    false }, BY_CA, "mx1.example.org", HB_CHAIN_OK, false, X509_V_OK },
	{ "address literal", { "x", "DNS:mx.example", -1, 5, false }, BY_CA,
	    NULL, HB_CHAIN_OK, false, X509_V_OK },
};
/* clang-format on */

static X509 *
row_cert(const struct fact_row *row)
{
	switch (row->by) {
	case BY_CA:
		return cert_new(&row->cert, leaf_key, ca, ca_key);
	case BY_STRANGER:
		return cert_new(&row->cert, leaf_key, other_ca, other_key);
	case BY_ITSELF:
		break;
	}
	return cert_new(&row->cert, leaf_key, NULL, NULL);
}

static void
check_row(const struct fact_row *row)
{
	struct hb_tls *client = client_new(), *server;
	struct side a = { 0 }, b = { 0 };
	X509 *cert = row_cert(row);
	bool good = row->chain == HB_CHAIN_OK && row->name_ok;
	char word[32];

	print_message("%s\n", row->name);
	server = server_of(cert);
	handshake(&a, client, row->reference, &b, server);
	assert_int_equal(a.facts.state, HB_TLSF_DONE);
	assert_int_equal(a.facts.chain, row->chain);
	assert_int_equal(a.facts.name_ok, row->name_ok);
	assert_int_equal(a.facts.verify_code, row->code);
	assert_int_equal(a.facts.version, 13);
	assert_true(a.facts.cipher[0] != '\0');
	assert_string_equal(
	    a.facts.reference, row->reference != NULL ? row->reference : "");
	assert_int_equal(a.facts.error[0] == '\0', row->code == X509_V_OK);
	assert_in_range(a.facts.not_after_ms / 1000 + 86400 * 20,
	    time(NULL) + 86400 * (row->cert.to_days + 20) - 60,
	    time(NULL) + 86400 * (row->cert.to_days + 20));
	if (row->cert.san != NULL)
		assert_memory_equal(row->cert.san + 4, a.facts.subject,
		    strlen(a.facts.subject));
	if (row->cert.san != NULL && row->cert.san[4] != '*')
		assert_true(hb_conn_tls_named(a.c, a.facts.subject));
	assert_false(hb_conn_tls_named(a.c, "nobody.example"));
	hb_tls_facts_word(&a.facts, word);
	assert_string_equal(
	    word, good ? "TLSv1.3/verified" : "TLSv1.3/unverified");
	side_end(&a);
	side_end(&b);
	hb_tls_free(&client);
	hb_tls_free(&server);
	X509_free(cert);
}

static void
facts_of_certificates_sts25(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(fact_rows); i++)
		check_row(&fact_rows[i]);
}

/* For people: all names that there is room for, and who signed. */
static void
names_and_issuer_are_shown(void **state)
{
	static const char *const sans[] = { "DNS:a.example,IP:192.0.2.1,"
		"DNS:b.example,email:x@y.example,DNS:*.c.example",
		"DNS:bad name\001,DNS:b", "IP:192.0.2.1", NULL };
	static const char *const want[] = { "a.example b.example *.c.example",
		"bad?name? b", "", "" };
	static const struct cert_spec odd = { "Caf\351, \"A\"", NULL, -1,
		10, true };
	X509 *issuer = cert_new(&odd, ca_key, NULL, NULL);
	struct hb_tls *client = client_new();

	for (size_t i = 0; i < HB_ARRAY_LEN(sans); i++) {
		struct cert_spec spec = { "x", sans[i], -1, 5, false };
		X509 *cert = cert_new(&spec, leaf_key, issuer, ca_key);
		struct hb_tls *server = server_of(cert);
		struct side a = { 0 }, b = { 0 };

		handshake(&a, client, "b", &b, server);
		assert_string_equal(a.facts.names, want[i]);
		assert_string_equal(
		    a.facts.issuer, "CN=Caf\\C3\\A9\\, \\\"A\\\"");
		side_end(&a);
		side_end(&b);
		hb_tls_free(&server);
		X509_free(cert);
	}
	X509_free(issuer);
	hb_tls_free(&client);
}

static void
more_names_than_room(void **state)
{
	static const size_t lens[] = { 1, 60, 200, 250 };
	struct hb_tls *client = client_new();

	for (size_t i = 0; i < HB_ARRAY_LEN(lens); i++) {
		struct hb_buf san = HB_BUF_INIT(0);
		struct cert_spec spec = { "x", NULL, -1, 5, false };
		struct hb_tls *server;
		struct side a = { 0 }, b = { 0 };
		X509 *cert;
		size_t n;

		for (size_t j = 0; j < 1000 / lens[i]; j++)
			hb_buf_addf(&san, "%sDNS:%0*zu", j > 0 ? "," : "",
			    (int)lens[i], j % 10);
		hb_buf_add(&san, hb_span("", 1));
		spec.san = (const char *)hb_buf_span(&san).p;
		cert = cert_new(&spec, leaf_key, ca, ca_key);
		server = server_of(cert);
		handshake(&a, client, "0", &b, server);
		n = strlen(a.facts.names);
		assert_in_range(n, lens[i], sizeof(a.facts.names) - 1);
		assert_true(sizeof(a.facts.names) - n < lens[i] + 8);
		assert_string_equal(a.facts.names + n - 4, " ...");
		assert_int_equal(strlen(a.facts.subject), lens[i]);
		side_end(&a);
		side_end(&b);
		hb_tls_free(&server);
		X509_free(cert);
		hb_buf_free(&san);
	}
	hb_tls_free(&client);
}

static X509 *
good_cert(const char *san)
{
	struct cert_spec spec = { "x", san, -1, 5, false };

	return cert_new(&spec, leaf_key, ca, ca_key);
}

static void
certificates_are_chosen_by_name(void **state)
{
	X509 *one = good_cert("DNS:one.example"),
	     *two = good_cert("DNS:two.example");
	struct hb_span pem[] = { cert_pem(one), cert_pem(two) };
	static const struct {
		const char *asked, *got;
	} rows[] = {
		{ "one.example", "one.example" },
		{ "two.example", "two.example" },
		{ "three.example", "one.example" },
		{ NULL, "one.example" },
	};
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_tls *server =
			  hb_tls_server_new(pem, 2, HB_TLSVER_1_2, keys, &err),
		      *client = client_new();

	assert_non_null(server);
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct side a = { 0 }, b = { 0 };

		handshake(&a, client, rows[i].asked, &b, server);
		assert_string_equal(a.facts.subject, rows[i].got);
		side_end(&a);
		side_end(&b);
	}
	hb_tls_free(&server);
	hb_tls_free(&client);
	for (size_t i = 0; i < 2; i++)
		pem_free(pem[i]);
	X509_free(one);
	X509_free(two);
}

/* By the version of the library: names that it does not know make it refuse the
 * whole list, and a share of the hybrid group in the first flight makes that two
 * packets, which some peers drop. */
static void
test_T_19_groups_by_version(void **state)
{
	static const struct {
		unsigned long version;
		bool hybrid;
	} rows[] = { { 0x30000000, false }, { 0x300000d0, false },
		{ 0x30400000, false }, { 0x304000f0, false },
		{ 0x30500000, true }, { 0x30600010, true },
		{ 0x40000000, true } };
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char *list = hb_tls_groups(OpenSSL_version_num());

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		const char *g = hb_tls_groups(rows[i].version);

		assert_int_equal(strstr(g, "MLKEM") != NULL, rows[i].hybrid);
		assert_int_equal(strpbrk(g, "?*/") != NULL, rows[i].hybrid);
		if (!rows[i].hybrid)
			continue;
		/* one share, and of the small group */
		assert_ptr_equal(strchr(g, '*'), strrchr(g, '*'));
		assert_int_equal(strncmp(strchr(g, '*'), "*X25519:", 8), 0);
	}
	assert_int_equal(SSL_CTX_set1_groups_list(ctx, list), 1);
	SSL_CTX_free(ctx);
}

/* openssl#27557: a first flight above 1400 octets is dropped by some. */
static void
test_T_19_first_flight_is_short(void **state)
{
	struct hb_tls *client = client_new();
	struct side a = { 0 };
	unsigned char buf[65536];
	char name[256];
	int fd[2];
	ssize_t n = -1;

	/* the longest name that is asked for */
	memset(name, 'x', 253);
	for (size_t i = 50; i < 253; i += 50)
		name[i] = '.';
	name[253] = '\0';
	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 65536, &side_ops, &a);
	assert_int_equal(hb_conn_tls_client(a.c, client, &WANT(name)), 0);
	run_until((n = recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT)) > 0);
	assert_in_range(n, 100, 1400);
	hb_conn_free(&a.c);
	close(fd[1]);
	hb_tls_free(&client);
}

static void
limit_versions(struct hb_tls *t, int least, int most)
{
	SSL *ssl = hb_tls_new_ssl(t);
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);

	SSL_CTX_set_security_level(ctx, 0);
	assert_int_equal(SSL_CTX_set_min_proto_version(ctx, least), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(ctx, most), 1);
	assert_int_equal(SSL_CTX_set_cipher_list(ctx, "ALL"), 1);
	hb_tls_free_ssl(t, ssl);
}

static void
old_versions_are_refused_sts34(void **state)
{
	static const struct {
		enum hb_tls_version min;
		int most, got;
	} rows[] = {
		{ HB_TLSVER_1_2, TLS1_1_VERSION, 0 },
		{ HB_TLSVER_1_2, TLS1_2_VERSION, 12 },
		{ HB_TLSVER_1_2, TLS1_3_VERSION, 13 },
		{ HB_TLSVER_1_3, TLS1_2_VERSION, 0 },
		{ HB_TLSVER_1_3, TLS1_3_VERSION, 13 },
	};
	X509 *cert = good_cert("DNS:mx.example");
	struct hb_span pem = cert_pem(cert);

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf err = HB_BUF_INIT(0);
		struct hb_tls *server = hb_tls_server_new(
				  &pem, 1, rows[i].min, keys, &err),
			      *client = client_new();
		struct side a = { 0 }, b = { 0 };

		limit_versions(client, TLS1_VERSION, rows[i].most);
		handshake(&a, client, "mx.example", &b, server);
		assert_int_equal(a.facts.version, rows[i].got);
		assert_int_equal(b.facts.version, rows[i].got);
		assert_int_equal(a.facts.state,
		    rows[i].got != 0 ? HB_TLSF_DONE : HB_TLSF_FAILED);
		if (rows[i].got == 0) {
			assert_int_equal(a.closed, 1);
			assert_int_equal(a.err, HB_E_TLS);
			assert_true(a.facts.error[0] != '\0');
		}
		side_end(&a);
		side_end(&b);
		hb_tls_free(&server);
		hb_tls_free(&client);
	}
	pem_free(pem);
	X509_free(cert);
}

static void
large_transfer(struct side *from, struct side *to)
{
	unsigned char *data = text_new(LARGE);
	char name[] = "/tmp/hb-tls-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, data, LARGE), LARGE);
	hb_buf_clear(&to->got);
	hb_conn_write(from->c, hb_span(data, LARGE));
	hb_conn_write_body(from->c, fd, 100, LARGE - 100);
	hb_conn_write(from->c, HB_SPAN("."));
	run_until(to->got.n == 2 * (size_t)LARGE - 99);
	assert_memory_equal(to->got.p, data, LARGE);
	assert_memory_equal(to->got.p + LARGE, data + 100, LARGE - 100);
	close(fd);
	free(data);
}

static void
starttls_then_transfers(void **state)
{
	X509 *cert = good_cert("DNS:mx.example");
	struct hb_tls *server = server_of(cert), *client = client_new();
	struct side a = { 0 }, b = { 0 };

	connect_sides(&a, &b, 20000);
	hb_conn_write(a.c, HB_SPAN("STARTTLS\r\n"));
	run_until(b.got.n == 10);
	/* The reply is in clear though it is still queued. */
	hb_conn_write(b.c, HB_SPAN("220 go\r\n"));
	assert_int_equal(hb_conn_tls_server(b.c, server, NULL), 0);
	assert_int_equal(hb_conn_tls_server(b.c, server, NULL), HB_E_STATE);
	run_until(a.got.n == 8);
	assert_int_equal(hb_conn_tls_client(a.c, client, &WANT("mx.example")), 0);
	/* What is written now is for inside. */
	hb_conn_write(a.c, HB_SPAN("EHLO\r\n"));
	/* A context lives as long as its connections. */
	hb_tls_free(&server);
	hb_tls_free(&client);
	run_until(b.got.n == 16);
	assert_span(hb_buf_span(&b.got), "STARTTLS\r\nEHLO\r\n");
	assert_true(hb_tls_facts_verified(&a.facts));
	large_transfer(&a, &b);
	large_transfer(&b, &a);
	hb_conn_write(b.c, HB_SPAN("221 bye\r\n"));
	hb_conn_shutdown(b.c);
	run_until(b.closed == 1 && a.closed == 1);
	assert_int_equal(a.err, 0);
	assert_memory_equal(a.got.p + a.got.n - 9, "221 bye\r\n", 9);
	side_end(&a);
	side_end(&b);
	X509_free(cert);
}

/* The server writes N replies that are not read, then shuts down while input
 * waits.  False: the socket was full before. */
static bool
nothing_waits_after(int n, struct hb_tls *server, struct hb_tls *client)
{
	struct side a = { 0 }, b = { 0 };
	int fd[2], least = 1;
	bool sent;

	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 20000, &side_ops, &a);
	b.c = hb_conn_attach(loop, fd[1], 20000, &side_ops, &b);
	assert_int_equal(hb_conn_tls_server(b.c, server, NULL), 0);
	assert_int_equal(
	    hb_conn_tls_client(a.c, client, &WANT("mx.example")), 0);
	run_until(a.tls && b.tls);
	run_for(5);
	hb_conn_pause(a.c, true);
	hb_conn_pause(b.c, true);
	assert_int_equal(setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &least,
			     sizeof(least)), 0);
	hb_conn_write(a.c, HB_SPAN("NOOP\r\n"));
	run_for(1);
	for (int i = 0; i < n; i++) {
		hb_conn_write(b.c, HB_SPAN("250 no\r\n"));
		run_for(1);
	}
	sent = hb_conn_pending(b.c) == 0;
	hb_conn_shutdown(b.c);
	run_for(2);
	if (sent) {
		assert_int_equal(b.closed, 0);
		assert_int_equal(hb_conn_pending(b.c), 0);
	}
	side_end(&a);
	side_end(&b);
	return sent;
}

/* A close_notify that the socket does not take is not tried again and again,
 * turn by turn. */
static void
close_notify_is_sent_once(void **state)
{
	X509 *cert = good_cert("DNS:mx.example");
	struct hb_tls *server = server_of(cert), *client = client_new();
	int n = 0;

	while (nothing_waits_after(n, server, client))
		n++;
	assert_true(n > 1);
	hb_tls_free(&server);
	hb_tls_free(&client);
	X509_free(cert);
}

static void
back_pressure_inside_tls(void **state)
{
	X509 *cert = good_cert("DNS:mx.example");
	struct hb_tls *server = server_of(cert), *client = client_new();
	struct side a = { 0 }, b = { 0 };
	unsigned char *data = pattern_new(LARGE);
	int fd[2];

	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 5000, &side_ops, &a);
	b.c = hb_conn_attach(loop, fd[1], 5000, &side_ops, &b);
	b.keep = true;
	assert_int_equal(hb_conn_tls_server(b.c, server, NULL), 0);
	assert_int_equal(hb_conn_tls_client(a.c, client, &WANT(NULL)), 0);
	hb_conn_write(a.c, hb_span(data, LARGE));
	run_until(b.tls == 1 && hb_conn_input(b.c).n == 5000);
	run_for(20);
	assert_int_equal(hb_conn_input(b.c).n, 5000);
	hb_conn_pause(b.c, true);
	side_take(&b);
	run_for(20);
	assert_int_equal(b.got.n, 5000);
	b.keep = false;
	hb_conn_pause(b.c, false);
	run_until(b.got.n == LARGE && a.drained == 1);
	assert_memory_equal(b.got.p, data, LARGE);
	assert_true(b.most_held <= 5000);
	side_end(&a);
	side_end(&b);
	hb_tls_free(&server);
	hb_tls_free(&client);
	X509_free(cert);
	free(data);
}

/* Bytes in clear behind STARTTLS or behind its 220: TLS-01. */
static void
injected_bytes_are_refused_tls01(void **state)
{
	X509 *cert = good_cert("DNS:mx.example");
	struct hb_tls *server = server_of(cert), *client = client_new();
	struct side a = { .keep = true };
	int fd[2];

	for (int seen = 0; seen < 2; seen++) {
		make_pair(fd);
		a.c = hb_conn_attach(loop, fd[0], 100, &side_ops, &a);
		hb_conn_write(a.c, HB_SPAN("220 go\r\n"));
		assert_int_equal(write(fd[1], "RSET\r\n", 6), 6);
		if (seen)
			run_until(hb_conn_input(a.c).n == 6);
		assert_int_equal(
		    hb_conn_tls_client(a.c, client, &WANT(NULL)), HB_E_STATE);
		assert_int_equal(hb_conn_tls_server(a.c, server, NULL), HB_E_STATE);
		side_end(&a);
		close(fd[1]);
	}
	hb_tls_free(&server);
	hb_tls_free(&client);
	X509_free(cert);
}

static void
clear_text_for_a_handshake_fails(void **state)
{
	X509 *cert = good_cert("DNS:mx.example");
	struct hb_tls *server = server_of(cert), *client = client_new();
	struct side a = { 0 }, b = { 0 };
	int fd[2];

	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 100, &side_ops, &a);
	assert_int_equal(hb_conn_tls_server(a.c, server, NULL), 0);
	assert_int_equal(write(fd[1], "EHLO not.tls\r\n", 14), 14);
	run_until(a.closed == 1);
	assert_int_equal(a.facts.state, HB_TLSF_FAILED);
	assert_false(a.facts.cut);
	assert_int_equal(a.err, HB_E_TLS);
	assert_int_equal(a.got.n, 0);
	side_end(&a);
	close(fd[1]);

	make_pair(fd);
	b.c = hb_conn_attach(loop, fd[0], 100, &side_ops, &b);
	assert_int_equal(hb_conn_tls_client(b.c, client, &WANT(NULL)), 0);
	shutdown(fd[1], SHUT_WR);
	run_until(b.closed == 1);
	assert_int_equal(b.facts.state, HB_TLSF_FAILED);
	assert_true(b.facts.cut);
	assert_string_equal(b.facts.error,
	    "the peer closed the connection during the handshake");
	side_end(&b);
	close(fd[1]);
	hb_tls_free(&server);
	hb_tls_free(&client);
	X509_free(cert);
}

static void
any_callback_may_free_inside_tls(void **state)
{
	static const enum when at[] = { AT_TLS, AT_INPUT, AT_DRAIN, AT_CLOSE };
	X509 *cert = good_cert("DNS:mx.example");
	struct hb_tls *server = server_of(cert), *client = client_new();

	for (size_t i = 0; i < HB_ARRAY_LEN(at); i++) {
		for (int side = 0; side < 2; side++) {
			struct side s[2] = { 0 };

			s[side].free_when = at[i];
			start_tls(&s[0], client, NULL, &s[1], server);
			hb_conn_write(s[0].c, HB_SPAN("a"));
			hb_conn_write(s[1].c, HB_SPAN("b"));
			if (at[i] == AT_CLOSE)
				hb_conn_free(&s[1 - side].c);
			run_until(s[side].c == NULL);
			side_end(&s[0]);
			side_end(&s[1]);
		}
	}
	hb_tls_free(&server);
	hb_tls_free(&client);
	X509_free(cert);
}

static void
self_signed_serves(void **state)
{
	struct hb_buf cert = HB_BUF_INIT(0), key = HB_BUF_INIT(0),
		      err = HB_BUF_INIT(0);
	struct hb_span pem;
	struct hb_keyclient *k = hb_keyclient_new();
	struct hb_tls *server, *client = client_new();
	struct side a = { 0 }, b = { 0 };
	BIO *bio;
	EVP_PKEY *pkey;
	pid_t pid;
	int fd;

	assert_int_equal(hb_tls_self_signed("host.example,DNS:evil.example",
			     (int64_t)time(NULL) * 1000, &cert, &key),
	    0);
	hb_buf_clear(&cert);
	hb_buf_clear(&key);
	assert_int_equal(hb_tls_self_signed("host.example",
			     (int64_t)time(NULL) * 1000, &cert, &key),
	    0);
	bio = BIO_new_mem_buf(key.p, (int)key.n);
	pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	assert_non_null(pkey);
	pid = agent_start(&pkey, 1, &fd);
	hb_keyclient_set_fd(k, fd);
	pem = hb_buf_span(&cert);
	server = hb_tls_server_new(&pem, 1, HB_TLSVER_1_2, k, &err);
	assert_non_null(server);
	handshake(&a, client, "host.example", &b, server);
	assert_int_equal(a.facts.state, HB_TLSF_DONE);
	assert_int_equal(a.facts.chain, HB_CHAIN_SELF_SIGNED);
	assert_true(a.facts.name_ok);
	assert_string_equal(a.facts.subject, "host.example");
	assert_int_equal(hb_tls_self_signed("", 0, &cert, &key), HB_E_RANGE);
	side_end(&a);
	side_end(&b);
	hb_tls_free(&server);
	hb_tls_free(&client);
	hb_keyclient_free(&k);
	agent_end(pid);
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	hb_buf_free(&cert);
	hb_buf_free(&key);
}

/* A peer that, once hands are shaken, changes its key again and again. */
static void
change_keys(int fd, bool server, X509 *cert)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method()
					  : TLS_client_method());
	BIO *out = BIO_new(BIO_s_mem());
	SSL *ssl;
	char *p;

	if (server) {
		SSL_CTX_use_certificate(ctx, cert);
		SSL_CTX_use_PrivateKey(ctx, leaf_key);
	}
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	if ((server ? SSL_accept(ssl) : SSL_connect(ssl)) != 1)
		_exit(1);
	SSL_set0_wbio(ssl, out);
	while (BIO_pending(out) < FLOOD)
		if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
		    SSL_do_handshake(ssl) != 1)
			_exit(1);
	(void)BIO_get_mem_data(out, &p);
	for (size_t n = 0; n < FLOOD;) {
		ssize_t sent = write(fd, p + n, FLOOD - n);

		n += sent > 0 ? (size_t)sent : 0;
	}
	pause();
}

/* A finite field group: a named one, or one of BITS that nobody knows. */
static EVP_PKEY *
group_new(const char *name, unsigned bits)
{
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	BIGNUM *p = BN_new(), *g = BN_new();
	EVP_PKEY *group = NULL;
	OSSL_PARAM *params;

	BN_rand(p, (int)bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
	BN_set_word(g, 2);
	if (name != NULL) {
		OSSL_PARAM_BLD_push_utf8_string(
		    b, OSSL_PKEY_PARAM_GROUP_NAME, name, 0);
	} else {
		OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_FFC_P, p);
		OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_FFC_G, g);
	}
	params = OSSL_PARAM_BLD_to_param(b);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &group,
			     EVP_PKEY_KEY_PARAMETERS, params), 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(ctx);
	BN_free(p);
	BN_free(g);
	return group;
}

static SSL *
finite_field_server(EVP_PKEY *group, EVP_PKEY *rsa, X509 *cert)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *ssl;

	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_set_cipher_list(ctx, "DHE+AESGCM"), 1);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, rsa), 1);
	assert_int_equal(SSL_CTX_set0_tmp_dh_pkey(ctx, group), 1);
	ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_accept_state(ssl);
	return ssl;
}

static bool
agree(SSL *a, SSL *b)
{
	BIO *to_a, *to_b;
	int done = 0;

	assert_int_equal(BIO_new_bio_pair(&to_a, 65536, &to_b, 65536), 1);
	SSL_set_bio(a, to_a, to_a);
	SSL_set_bio(b, to_b, to_b);
	for (int i = 0; i < 10 && done < 2; i++)
		done = (SSL_do_handshake(a) == 1) + (SSL_do_handshake(b) == 1);
	ERR_clear_error();
	return done == 2;
}

/* A handshake over a group of 10,000 bits takes a second, and a mail host can
 * have many addresses. */
static void
large_groups_are_refused(void **state)
{
	static const struct {
		const char *name;
		unsigned bits;
		bool taken;
	} rows[] = {
		{ NULL, 2048, true },
		{ NULL, 4096, true },
		{ NULL, 4104, false },
		{ NULL, 10000, false },
		{ "ffdhe8192", 8192, true }, /* with a short exponent */
	};
	static const struct cert_spec spec = { "x", "DNS:mx.example", -1, 5,
		false };
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	X509 *cert = cert_new(&spec, rsa, ca, ca_key);
	struct hb_tls *client = client_new();

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		SSL *a = hb_tls_new_ssl(client);
		SSL *b = finite_field_server(
		    group_new(rows[i].name, rows[i].bits), rsa, cert);
		struct hb_tls_facts facts = { 0 };

		SSL_set_app_data(a, &facts);
		SSL_set_connect_state(a);
		assert_int_equal(agree(a, b), rows[i].taken);
		hb_tls_free_ssl(client, a);
		SSL_free(b);
	}
	hb_tls_free(&client);
	X509_free(cert);
	EVP_PKEY_free(rsa);
}

static int
waiting_bytes(int fd)
{
	int n = 0;

	assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	return n;
}

static pid_t
flooder(int fd[2], bool server, X509 *cert)
{
	pid_t pid;

	make_pair(fd);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fd[0]);
		alarm(300); /* not longer than the test */
		change_keys(fd[1], server, cert);
		_exit(0);
	}
	close(fd[1]);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	return pid;
}

static void
shake(struct hb_tls_session *s, int fd, struct hb_buf *raw)
{
	enum hb_tls_step r = HB_TLS_STEP_WANT;

	while (r == HB_TLS_STEP_WANT) {
		struct pollfd p = { fd, POLLIN, 0 };

		r = hb_tls_session_handshake(s);
		if (raw->n > 0)
			assert_int_equal(
			    write(fd, raw->p + raw->off, raw->n), raw->n);
		hb_buf_clear(raw);
		if (r == HB_TLS_STEP_WANT)
			assert_true(poll(&p, 1, 60000) == 1);
	}
	assert_int_equal(r, HB_TLS_STEP_OK);
}

/* Messages that TLS keeps to itself cost others no more than a little wait,
 * and end the session when there is no end of them. */
static void
flood_inside_tls_is_bounded(void **state)
{
	X509 *cert = good_cert("DNS:mx.example");
	struct hb_tls *server = server_of(cert), *client = client_new();

	for (int peer = 0; peer < 2; peer++) {
		struct hb_buf raw = HB_BUF_INIT(0);
		struct hb_tls_facts facts = { 0 };
		unsigned char room[1000];
		size_t got = 0, calls = 0;
		int fd[2], before;
		pid_t pid = flooder(fd, peer == 1, cert);
		struct hb_tls_session *s = peer == 1
		    ? hb_tls_session_client(client, fd[0], &raw, &facts,
			  &WANT("mx.example"))
		    : hb_tls_session_server(server, fd[0], &raw, &facts,
			  NULL);
		enum hb_tls_step r = HB_TLS_STEP_WANT;

		shake(s, fd[0], &raw);
		while (waiting_bytes(fd[0]) < FLOOD / 3) {
			assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
			usleep(1000);
		}
		before = waiting_bytes(fd[0]);
		kill(pid, SIGSTOP);
		assert_int_equal(
		    hb_tls_session_read(s, room, sizeof(room), &got),
		    HB_TLS_STEP_WANT);
		assert_true(waiting_bytes(fd[0]) > before - 64 * 1024);
		assert_false(hb_tls_session_pending(s));
		kill(pid, SIGCONT);
		while (r == HB_TLS_STEP_WANT && calls++ < 1000) {
			struct pollfd p = { fd[0], POLLIN, 0 };

			assert_true(poll(&p, 1, 60000) == 1);
			r = hb_tls_session_read(s, room, sizeof(room), &got);
			assert_int_equal(got, 0);
		}
		assert_int_equal(r, HB_TLS_STEP_FAILED);
		hb_tls_session_free(&s);
		hb_buf_free(&raw);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(fd[0]);
	}
	hb_tls_free(&server);
	hb_tls_free(&client);
	X509_free(cert);
}

static void
bad_files_are_errors(void **state)
{
	X509 *cert = good_cert("DNS:mx.example");
	struct hb_span pem = cert_pem(cert), cut = pem, none = HB_SPAN("");
	struct hb_buf err = HB_BUF_INIT(0);

	cut.n = pem.n / 2;
	assert_null(hb_tls_server_new(&cut, 1, HB_TLSVER_1_2, keys, &err));
	assert_true(err.n > 0);
	hb_buf_clear(&err);
	assert_null(hb_tls_server_new(&none, 1, HB_TLSVER_1_2, keys, &err));
	assert_true(err.n > 0);
	hb_buf_clear(&err);
	assert_null(hb_tls_client_new(&cut, 1, HB_TLSVER_1_2, &err));
	assert_true(err.n > 0);
	hb_buf_free(&err);
	pem_free(pem);
	X509_free(cert);
}

/* An empty file comes as no bytes at all. */
static void
test_S_2_an_empty_file_is_an_error(void **state)
{
	struct hb_span none = HB_SPAN_NONE;
	struct hb_buf err = HB_BUF_INIT(0);

	assert_null(hb_tls_server_new(&none, 1, HB_TLSVER_1_2, keys, &err));
	assert_true(err.n > 0);
	hb_buf_clear(&err);
	assert_null(hb_tls_client_new(&none, 1, HB_TLSVER_1_2, &err));
	assert_true(err.n > 0);
	hb_buf_free(&err);
}

static void
assert_found(const char *name, struct hb_buf *found, const char *want)
{
	hb_buf_add(found, hb_span("", 1));
	if (want == NULL ? found->n != 1
			 : strstr((char *)found->p, want) == NULL)
		fail_msg("%s: %s", name, found->p);
	hb_buf_free(found);
}

static void
test_S_14_certificates_and_keys_are_looked_at(void **state)
{
	static const struct cert_spec old = { "old", NULL, -9, -2, false },
		later = { "later", NULL, 2, 9, false };
	EVP_PKEY *small = EVP_RSA_gen(1024);
	X509 *good = good_cert("DNS:mx.example"),
	     *gone = cert_new(&old, leaf_key, ca, ca_key),
	     *early = cert_new(&later, leaf_key, ca, ca_key);
	struct hb_span pem = cert_pem(good), old_pem = cert_pem(gone),
		       early_pem = cert_pem(early), key = key_pem(leaf_key),
		       other = key_pem(other_key), weak = key_pem(small);
	const struct {
		const char *name;
		struct hb_span chain, key;
		const char *want;
	} rows[] = {
		{ "good", pem, key, NULL },
		{ "other", pem, other, "E 0 the key is not the key of" },
		{ "swapped", key, pem, "E 0 certificate and key are swapped" },
		{ "no key", pem, pem, "E 0 the file of the key holds no" },
		{ "no certificate", key, key, "E 0 the file of the certificate holds no" },
		{ "empty", HB_SPAN_NONE, HB_SPAN_NONE, "holds no private key" },
		{ "torn chain", hb_span_head(pem, pem.n / 2), key, "E 0 a certificate of the chain is damaged" },
		{ "torn key", pem, hb_span_head(key, key.n / 2), "E 0 the key cannot be read" },
		{ "weak", pem, weak, "E 0 the key is of no kind" },
		{ "old", old_pem, key, "W 0 the certificate has expired on 2" },
		{ "early", early_pem, key, "W 0 the certificate is not valid before 2" },
	};
	struct hb_buf found = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		hb_cert_check_pair(rows[i].chain, rows[i].key, hb_now_ms(),
		    &found);
		assert_found(rows[i].name, &found, rows[i].want);
	}
	hb_cert_check_roots(ca_pem, hb_now_ms(), &found);
	assert_found("roots", &found, NULL);
	hb_cert_check_roots(hb_span_head(ca_pem, 99), hb_now_ms(), &found);
	assert_found("torn roots", &found, "E 0 a certificate of it is");
	hb_cert_check_roots(HB_SPAN_NONE, hb_now_ms(), &found);
	assert_found("no roots", &found, "E 0 it holds no certificate");
	X509_free(good);
	X509_free(gone);
	X509_free(early);
	EVP_PKEY_free(small);
	pem_free(pem);
	pem_free(old_pem);
	pem_free(early_pem);
	pem_free(key);
	pem_free(other);
	pem_free(weak);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_of_certificates_sts25),
		cmocka_unit_test(names_and_issuer_are_shown),
		cmocka_unit_test(more_names_than_room),
		cmocka_unit_test(certificates_are_chosen_by_name),
		cmocka_unit_test(old_versions_are_refused_sts34),
		cmocka_unit_test(starttls_then_transfers),
		cmocka_unit_test(close_notify_is_sent_once),
		cmocka_unit_test(back_pressure_inside_tls),
		cmocka_unit_test(injected_bytes_are_refused_tls01),
		cmocka_unit_test(clear_text_for_a_handshake_fails),
		cmocka_unit_test(any_callback_may_free_inside_tls),
		cmocka_unit_test(self_signed_serves),
		cmocka_unit_test(flood_inside_tls_is_bounded),
		cmocka_unit_test(large_groups_are_refused),
		cmocka_unit_test(test_T_19_groups_by_version),
		cmocka_unit_test(test_T_19_first_flight_is_short),
		cmocka_unit_test(bad_files_are_errors),
		cmocka_unit_test(test_S_2_an_empty_file_is_an_error),
		cmocka_unit_test(test_S_14_certificates_and_keys_are_looked_at),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}
