/* Keys that live in the key agent: real handshakes with each kind of key,
 * what the agent refuses, and what happens while it does not answer. */
#include "tests/unit/unit.h"

#include "tests/unit/certs.h"
#include "tests/unit/conn_side.h"

#include <openssl/rsa.h>
#include <openssl/ssl.h>

#include "common/io/keyid.h"
#include "common/io/tls-priv.h"

enum { KEYS = 3 };

static EVP_PKEY *pkeys[KEYS];
static X509 *certs[KEYS];
static struct hb_span pems[KEYS];
static struct hb_keyclient *keys;
static struct hb_tls *server;
static pid_t agent;

static int
setup(void **state)
{
	static const struct cert_spec specs[KEYS] = {
		{ "x", "DNS:rsa.example", -1, 5, false },
		{ "x", "DNS:ec.example", -1, 5, false },
		{ "x", "DNS:ed.example", -1, 5, false },
	};
	struct hb_buf err = HB_BUF_INIT(0);
	int fd;

	pkeys[0] = EVP_RSA_gen(2048);
	pkeys[1] = EVP_EC_gen("P-256");
	pkeys[2] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	for (size_t i = 0; i < KEYS; i++) {
		certs[i] = cert_new(&specs[i], pkeys[i], NULL, NULL);
		pems[i] = cert_pem(certs[i]);
	}
	agent = agent_start(pkeys, KEYS, &fd);
	keys = hb_keyclient_new();
	hb_keyclient_set_fd(keys, fd);
	server = hb_tls_server_new(pems, KEYS, HB_TLSVER_1_2, keys, &err);
	assert_non_null(server);
	return loop_setup(state);
}

static int
teardown(void **state)
{
	hb_tls_free(&server);
	hb_keyclient_free(&keys);
	agent_end(agent);
	for (size_t i = 0; i < KEYS; i++) {
		pem_free(pems[i]);
		X509_free(certs[i]);
		EVP_PKEY_free(pkeys[i]);
	}
	return loop_teardown(state);
}

/* A client that offers one version and only these signatures. */
static struct hb_tls *
client_of(int version, char *signatures)
{
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_tls *t = hb_tls_client_new(NULL, 0, HB_TLSVER_1_2, &err);
	SSL *ssl = hb_tls_new_ssl(t);
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);

	assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
	assert_int_equal(SSL_CTX_set1_sigalgs_list(ctx, signatures), 1);
	hb_tls_free_ssl(t, ssl);
	return t;
}

/* How long this process was ready to run and others had the processor. */
static int64_t
starved_ms(void)
{
	FILE *f = fopen("/proc/self/schedstat", "r");
	long long ran = 0, waited_ns = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lld %lld", &ran, &waited_ns) != 2)
		waited_ns = 0;
	fclose(f);
	return waited_ns / 1000000;
}

/* One handshake; the client's facts.  *MS: how long it took, without what
 * others took. */
static struct hb_tls_facts
try_handshake(int version, char *signatures, const char *name, int64_t *ms)
{
	struct hb_tls *client = client_of(version, signatures);
	struct side a = { 0 }, b = { 0 };
	struct hb_tls_facts facts;
	int64_t start = hb_mono_ms() - starved_ms();
	int fd[2];

	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 65536, &side_ops, &a);
	b.c = hb_conn_attach(loop, fd[1], 65536, &side_ops, &b);
	assert_int_equal(hb_conn_tls_server(b.c, server, NULL), 0);
	assert_int_equal(hb_conn_tls_client(a.c, client, &WANT(name)), 0);
	run_until(a.tls == 1 && b.tls == 1);
	if (a.facts.state == HB_TLSF_DONE) {
		hb_conn_write(a.c, HB_SPAN("EHLO"));
		run_until(b.got.n == 4);
	} else {
		assert_non_null(strstr(b.facts.error, "key agent"));
	}
	if (ms != NULL)
		*ms = hb_mono_ms() - starved_ms() - start;
	/* the two clocks are not read at one time */
	if (ms != NULL && *ms < 0)
		*ms = 0;
	facts = a.facts;
	side_end(&a);
	side_end(&b);
	hb_tls_free(&client);
	return facts;
}

/* clang-format off */
static struct {
	const char *name;
	int version;
	char signatures[24]; /* OpenSSL's macro wants it without const */
} handshakes[] = {
	{ "rsa.example", TLS1_2_VERSION, "RSA+SHA256" },
	{ "rsa.example", TLS1_2_VERSION, "RSA+SHA384" },
	{ "rsa.example", TLS1_2_VERSION, "RSA-PSS+SHA256" },
	{ "rsa.example", TLS1_3_VERSION, "RSA-PSS+SHA256" },
	{ "rsa.example", TLS1_3_VERSION, "RSA-PSS+SHA512" },
	{ "ec.example", TLS1_2_VERSION, "ECDSA+SHA256" },
	{ "ec.example", TLS1_2_VERSION, "ECDSA+SHA512" },
	{ "ec.example", TLS1_3_VERSION, "ECDSA+SHA256" },
	{ "ed.example", TLS1_2_VERSION, "ed25519" },
	{ "ed.example", TLS1_3_VERSION, "ed25519" },
};
/* clang-format on */

static void
every_kind_of_key_signs(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(handshakes); i++) {
		struct hb_tls_facts f = try_handshake(handshakes[i].version,
		    handshakes[i].signatures, handshakes[i].name, NULL);

		print_message("%s %s: %s %s\n", handshakes[i].name,
		    handshakes[i].signatures, f.cipher, f.error);
		assert_int_equal(f.state, HB_TLSF_DONE);
		assert_int_equal(f.version,
		    handshakes[i].version == TLS1_2_VERSION ? 12 : 13);
		assert_string_equal(f.subject, handshakes[i].name);
	}
}

static struct hb_tls_facts
plain_try(int64_t *ms)
{
	char signatures[] = "ECDSA+SHA256";

	return try_handshake(TLS1_3_VERSION, signatures, "ec.example", ms);
}

/* While the agent is stopped one handshake waits, the others fail at once,
 * and a session in clear goes on; when it runs again all is well. */
static void
a_stopped_agent_costs_one_wait(void **state)
{
	struct side a = { 0 }, b = { 0 };
	int64_t ms;

	connect_sides(&a, &b, 100);
	kill(agent, SIGSTOP);
	assert_int_equal(plain_try(&ms).state, HB_TLSF_FAILED);
	assert_in_range(ms, 190, 400);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(plain_try(&ms).state, HB_TLSF_FAILED);
		assert_in_range(ms, 0, 100);
	}
	hb_conn_write(a.c, HB_SPAN("NOOP"));
	run_until(b.got.n == 4);
	kill(agent, SIGCONT);
	run_for(50);
	assert_int_equal(plain_try(NULL).state, HB_TLSF_DONE);
	side_end(&a);
	side_end(&b);
}

static void
a_new_agent_takes_over(void **state)
{
	int64_t ms;
	int fd;

	agent_end(agent);
	assert_int_equal(plain_try(&ms).state, HB_TLSF_FAILED);
	assert_in_range(ms, 0, 100);
	assert_int_equal(plain_try(NULL).state, HB_TLSF_FAILED);
	agent = agent_start(pkeys, KEYS, &fd);
	hb_keyclient_set_fd(keys, fd);
	assert_int_equal(plain_try(NULL).state, HB_TLSF_DONE);
}

static void
note_broken(void *ctx, const char *why)
{
	assert_non_null(why);
	++*(unsigned *)ctx;
}

/* An answer with another number, or another frame, is no signature, and
 * somebody is told: TLS would be gone for good. */
static void
test_A_6_false_answers_close_the_channel(void **state)
{
	unsigned told = 0;

	static const struct ipc_signature wrong = { .ref = 77,
		.bytes = { (const unsigned char *)"forged", 6 } };
	static const struct ipc_stop stop;
	struct hb_buf frames[2] = { HB_BUF_INIT(0), HB_BUF_INIT(0) };
	int real;

	hb_keyclient_on_broken(keys, note_broken, &told);
	assert_int_equal(
	    hb_ipc_encode(HB_IPC_SIGNATURE, &wrong, &frames[0]), 0);
	assert_int_equal(hb_ipc_encode(HB_IPC_STOP, &stop, &frames[1]), 0);
	for (size_t i = 0; i < HB_ARRAY_LEN(frames); i++) {
		char byte[8192];
		int fd[2];

		make_pair(fd);
		assert_int_equal(
		    write(fd[1], frames[i].p, frames[i].n), frames[i].n);
		hb_keyclient_set_fd(keys, fd[0]);
		assert_int_equal(plain_try(NULL).state, HB_TLSF_FAILED);
		/* The question, then the end. */
		while (recv(fd[1], byte, sizeof(byte), 0) > 0)
			;
		close(fd[1]);
		hb_buf_free(&frames[i]);
		assert_int_equal(told, i + 1);
	}
	/* one that has only ended is replaced without that */
	agent_end(agent);
	agent = agent_start(pkeys, KEYS, &real);
	hb_keyclient_set_fd(keys, real);
	agent_end(agent);
	assert_int_equal(plain_try(NULL).state, HB_TLSF_FAILED);
	assert_int_equal(told, HB_ARRAY_LEN(frames));
	hb_keyclient_on_broken(keys, NULL, NULL);
	agent = agent_start(pkeys, KEYS, &real);
	hb_keyclient_set_fd(keys, real);
}

static const unsigned char data[64] = "0123456789abcdef0123456789abcdef";

/* clang-format off */
static const struct {
	const char *name;
	struct ipc_sign req;
	size_t len;
	const char *digest;
	int want;
} requests[] = {
	{ "rsa", { .key = 0, .alg = HB_SIGN_RSA_PKCS1 }, 32, "SHA256", 0 },
	{ "pss", { .key = 0, .alg = HB_SIGN_RSA_PSS, .salt_len = 32 }, 32,
	    "SHA2-256", 0 },
	{ "salt too long", { .key = 0, .alg = HB_SIGN_RSA_PSS,
	    .salt_len = 500 }, 32, "SHA256", HB_E_TEMP },
	{ "ec", { .key = 1, .alg = HB_SIGN_ECDSA }, 48, "SHA384", 0 },
	{ "ed", { .key = 2, .alg = HB_SIGN_ED25519 }, 64, "", 0 },
	{ "no such key", { .key = 3, .alg = HB_SIGN_ECDSA }, 32, "SHA256",
	    HB_E_NOTFOUND },
	{ "no algorithm", { .key = 1 }, 32, "SHA256", HB_E_PERM },
	{ "another key's algorithm", { .key = 1, .alg = HB_SIGN_RSA_PSS }, 32,
	    "SHA256", HB_E_PERM },
	{ "not a digest", { .key = 0, .alg = HB_SIGN_RSA_PKCS1 }, 31,
	    "SHA256", HB_E_RANGE },
	{ "empty", { .key = 2, .alg = HB_SIGN_ED25519 }, 0, "", HB_E_RANGE },
	{ "raw padding oracle", { .key = 0, .alg = HB_SIGN_RSA_PKCS1 }, 64,
	    "", HB_E_PERM },
	{ "weak digest", { .key = 0, .alg = HB_SIGN_RSA_PKCS1 }, 20, "SHA1",
	    HB_E_PERM },
	{ "digest for ed", { .key = 2, .alg = HB_SIGN_ED25519 }, 32, "SHA256",
	    HB_E_PERM },
	{ "unknown digest for ed", { .key = 2, .alg = HB_SIGN_ED25519 }, 32,
	    "x", HB_E_PERM },
};
/* clang-format on */

static void
only_listed_signatures_are_made(void **state)
{
	struct hb_keyset *set = hb_keyset_new();

	for (size_t i = 0; i < KEYS; i++) {
		struct hb_span pem = key_pem(pkeys[i]);

		assert_int_equal(hb_keyset_add(set, pem), 0);
		pem_free(pem);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(requests); i++) {
		struct ipc_sign req = requests[i].req;
		struct hb_buf sig = HB_BUF_INIT(0);

		req.data = hb_span(data, requests[i].len);
		req.digest_name = hb_span_str(requests[i].digest);
		print_message("%s\n", requests[i].name);
		assert_int_equal(
		    hb_keyset_sign(set, &req, &sig), requests[i].want);
		assert_int_equal(sig.n > 0, requests[i].want == 0);
		hb_buf_free(&sig);
	}
	hb_keyset_free(&set);
}

static void
unfit_keys_are_refused(void **state)
{
	EVP_PKEY *small = EVP_RSA_gen(1024),
		 *other = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	struct hb_keyset *set = hb_keyset_new();
	struct hb_span pem = key_pem(small), x = key_pem(other);
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char pass[] = "pw";
	struct hb_span locked;

	assert_int_equal(hb_keyset_add(set, pem), HB_E_UNSUPPORTED);
	assert_int_equal(hb_keyset_add(set, x), HB_E_UNSUPPORTED);
	assert_int_equal(hb_keyset_add(set, HB_SPAN("")), HB_E_SYNTAX);
	assert_int_equal(hb_keyset_add(set, pems[0]), HB_E_SYNTAX);
	assert_int_equal(PEM_write_bio_PrivateKey(bio, pkeys[1],
			     EVP_aes_128_cbc(), pass, 2, NULL, NULL),
	    1);
	locked = bio_take(bio);
	assert_int_equal(hb_keyset_add(set, locked), HB_E_SYNTAX);
	pem_free(locked);
	pem_free(pem);
	pem_free(x);
	hb_keyset_free(&set);
	EVP_PKEY_free(small);
	EVP_PKEY_free(other);
}

/* A set with key I alone, known by its certificate. */
static struct hb_keyset *
set_of(size_t i)
{
	struct hb_keyset *set = hb_keyset_new();
	struct hb_span pem = key_pem(pkeys[i]);

	assert_int_equal(hb_keyset_add(set, pem), 0);
	hb_keyset_know(set, 0, pems[i]);
	pem_free(pem);
	return set;
}

/* What comes of a signature by the key of certificate I. */
static int
ask_by_id(const struct hb_keyset *set, size_t i)
{
	unsigned char id[HB_KEY_ID];
	struct hb_buf sig = HB_BUF_INIT(0);
	struct ipc_sign req = { .alg = i == 0 ? HB_SIGN_RSA_PKCS1
		: i == 1 ? HB_SIGN_ECDSA : HB_SIGN_ED25519,
		.digest_name = i == 2 ? HB_SPAN("") : HB_SPAN("SHA256"),
		.data = hb_span(data, 32) };
	int r;

	assert_true(hb_key_id(certs[i], id));
	req.id = hb_span(id, sizeof(id));
	r = hb_keyset_sign(set, &req, &sig);
	hb_buf_free(&sig);
	return r;
}

/* A handshake that began with the certificate before finds its key, for a
 * while; one that the agent never had finds none. */
static void
former_keys_sign_until_forgotten(void **state)
{
	struct hb_keyset *first = set_of(0), *second = set_of(1),
			 *third = set_of(2);

	assert_int_equal(ask_by_id(first, 0), 0);
	assert_int_equal(ask_by_id(first, 1), HB_E_NOTFOUND);
	hb_keyset_follow(second, &first);
	assert_null(first);
	assert_int_equal(ask_by_id(second, 0), 0);
	assert_int_equal(ask_by_id(second, 1), 0);
	hb_keyset_follow(third, &second);
	assert_int_equal(ask_by_id(third, 0), HB_E_NOTFOUND);
	assert_int_equal(ask_by_id(third, 1), 0);
	hb_keyset_forget(third);
	assert_int_equal(ask_by_id(third, 1), HB_E_NOTFOUND);
	assert_int_equal(ask_by_id(third, 2), 0);
	hb_keyset_free(&third);
}

/* Two questions at once: the agent closes the channel. */
static void
a_key_fits_its_own_certificate_alone(void **state)
{
	struct hb_keyset *set = hb_keyset_new();

	for (size_t i = 0; i < KEYS; i++) {
		struct hb_span pem = key_pem(pkeys[i]);

		assert_int_equal(hb_keyset_add(set, pem), 0);
		pem_free(pem);
	}
	for (size_t i = 0; i < KEYS; i++)
		for (size_t k = 0; k < KEYS; k++)
			assert_int_equal(hb_keyset_fits(set, i, pems[k]),
			    i == k);
	assert_false(hb_keyset_fits(set, KEYS, pems[0]));
	assert_false(hb_keyset_fits(set, 0, HB_SPAN("")));
	hb_keyset_free(&set);
}

static void
one_request_at_a_time(void **state)
{
	struct ipc_sign req = { .ref = 1,
		.key = 1,
		.alg = HB_SIGN_ECDSA,
		.digest_name = HB_SPAN("SHA256"),
		.data = { data, 32 } };
	struct hb_buf two = HB_BUF_INIT(0);
	unsigned char byte;
	pid_t pid;
	int fd;

	pid = agent_start(pkeys, KEYS, &fd);
	assert_int_equal(hb_ipc_encode(HB_IPC_SIGN, &req, &two), 0);
	assert_int_equal(hb_ipc_encode(HB_IPC_SIGN, &req, &two), 0);
	assert_int_equal(write(fd, two.p, two.n), two.n);
	assert_int_equal(read(fd, &byte, 1), 0);
	hb_buf_free(&two);
	close(fd);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A certificate whose key is another number: the agent refuses, and nothing
 * but that handshake is lost. */
static void
a_refused_signature_ends_one_handshake(void **state)
{
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_span twice[] = { pems[1], pems[0] };
	struct hb_tls *swapped =
	    hb_tls_server_new(twice, 2, HB_TLSVER_1_2, keys, &err);
	struct hb_tls *good = server;

	/* Key 0 of the agent is RSA: it refuses to sign for this one. */
	assert_non_null(swapped);
	server = swapped;
	assert_int_equal(plain_try(NULL).state, HB_TLSF_FAILED);
	server = good;
	assert_int_equal(plain_try(NULL).state, HB_TLSF_DONE);
	hb_tls_free(&swapped);
}

/* What the parent reads at its first start. */
static void
the_program_makes_a_certificate(void **state)
{
	const char *dir = getenv("HB_BUILDDIR");
	struct hb_buf cmd = HB_BUF_INIT(0), out = HB_BUF_INIT(0),
		      err = HB_BUF_INIT(0);
	struct hb_keyset *set = hb_keyset_new();
	struct hb_span pem;
	struct hb_tls *t;
	FILE *f;

	hb_buf_addf(&cmd, "%s/hauberk-keyagent -s new.example",
	    dir != NULL ? dir : ".");
	assert_int_equal(hb_buf_putc(&cmd, 0), 0);
	f = popen((const char *)cmd.p, "r");
	assert_non_null(f);
	read_all(fileno(f), &out);
	assert_int_equal(pclose(f), 0);
	pem = hb_buf_span(&out);
	t = hb_tls_server_new(&pem, 1, HB_TLSVER_1_2, keys, &err);
	assert_non_null(t);
	assert_int_equal(hb_keyset_add(set, pem), 0);
	hb_tls_free(&t);
	hb_keyset_free(&set);
	hb_buf_free(&cmd);
	hb_buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_key_signs),
		cmocka_unit_test(a_stopped_agent_costs_one_wait),
		cmocka_unit_test(a_new_agent_takes_over),
		cmocka_unit_test(test_A_6_false_answers_close_the_channel),
		cmocka_unit_test(only_listed_signatures_are_made),
		cmocka_unit_test(unfit_keys_are_refused),
		cmocka_unit_test(a_key_fits_its_own_certificate_alone),
		cmocka_unit_test(former_keys_sign_until_forgotten),
		cmocka_unit_test(one_request_at_a_time),
		cmocka_unit_test(a_refused_signature_ends_one_handshake),
		cmocka_unit_test(the_program_makes_a_certificate),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}
