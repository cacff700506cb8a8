/*
 * Domains that are all to be discovered at once: TXT questions and fetches
 * over real DNS, TCP and TLS on loopback.  A name server and policy hosts
 * run in a process of their own: each host has a certificate for its name and
 * answers after DELAY ms; of a hundred, DEAD never answer.
 *
 *	discover_bench [DOMAINS] [DELAY] [DEAD]
 */
#include "config.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/io/tls.h"
#include "sts/sts.h"
#include "tests/unit/nostore.h"

#define POLICY                                                                 \
	"version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 604800\n"

static struct {
	unsigned delay_ms, dead;
	EVP_PKEY *key;
	X509 *ca;
	int dns, https;
	unsigned dns_port, https_port;
} peer;

/* --- the other side --- */

static X509 *
certificate(const char *name, bool is_ca)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_NAME_new();
	char text[300];
	X509_EXTENSION *e;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), random());
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
	    (const unsigned char *)(is_ca ? "bench" : "host"), -1, -1, 0);
	X509_set_subject_name(x, subject);
	X509_NAME_free(subject);
	X509_set_issuer_name(x, is_ca ? X509_get_subject_name(x)
				      : X509_get_subject_name(peer.ca));
	X509_set_pubkey(x, peer.key);
	snprintf(text, sizeof(text), is_ca ? "critical,CA:TRUE" : "DNS:%s",
	    name);
	e = X509V3_EXT_conf_nid(NULL, NULL,
	    is_ca ? NID_basic_constraints : NID_subject_alt_name, text);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	X509_sign(x, peer.key, EVP_sha256());
	return x;
}

static int
choose(SSL *ssl, int *alert, void *ctx)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	X509 *x;

	(void)alert;
	(void)ctx;
	if (name == NULL || strlen(name) < sizeof("mta-sts.d"))
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	if (strtoul(name + sizeof("mta-sts.d") - 1, NULL, 10) % 100 <
	    peer.dead) {
		struct pollfd p = { .fd = SSL_get_fd(ssl),
			.events = POLLRDHUP };

		poll(&p, 1, -1);
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	x = certificate(name, false);
	SSL_use_certificate(ssl, x);
	SSL_use_PrivateKey(ssl, peer.key);
	X509_free(x);
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *server_ctx;

static void *
serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	SSL *ssl = SSL_new(server_ctx);
	char buf[4096];
	int n;

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1 &&
	    SSL_read(ssl, buf, sizeof(buf)) > 0) {
		usleep(peer.delay_ms * 1000);
		n = snprintf(buf, sizeof(buf), "HTTP/1.1 200 OK\r\n"
		    "Content-Type: text/plain\r\nContent-Length: %zu\r\n"
		    "Connection: close\r\n\r\n" POLICY, sizeof(POLICY) - 1);
		SSL_write(ssl, buf, n);
		SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	close(fd);
	return NULL;
}

static void *
listen_https(void *arg)
{
	pthread_attr_t small;
	pthread_t t;
	int fd;

	(void)arg;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 * 1024);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	while ((fd = accept(peer.https, NULL, NULL)) >= 0)
		if (pthread_create(&t, &small, serve, (void *)(intptr_t)fd) !=
		    0)
			close(fd);
	return NULL;
}

/* Every TXT question has the record, every other name one address. */
static void
answer_dns(void)
{
	static const unsigned char txt[] = "\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\x0f"
		"\x0ev=STSv1; id=1;";
	static const unsigned char a[] = "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4"
		"\x7f\0\0\1";
	unsigned char m[1500];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(peer.dns, m, 512, 0, (struct sockaddr *)&from,
		    &len)) > 16) {
		size_t at = 12, end;
		unsigned type;

		while (at < (size_t)n && m[at] != 0)
			at += (size_t)m[at] + 1;
		end = at + 5;
		type = m[at + 2];
		m[2] = 0x84;
		m[3] = 0x80;
		m[7] = type == 16 || type == 1;
		memset(m + 8, 0, 4);
		if (type == 16) {
			memcpy(m + end, txt, sizeof(txt) - 1);
			end += sizeof(txt) - 1;
		} else if (type == 1) {
			memcpy(m + end, a, sizeof(a) - 1);
			end += sizeof(a) - 1;
		}
		sendto(peer.dns, m, end, 0, (struct sockaddr *)&from, len);
	}
}

static int
bound(int type, unsigned *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, type, 0), room = 4 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, len) != 0 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) != 0)
		exit(1);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	*port = ntohs(sin.sin_port);
	return fd;
}

static pid_t
start_peer(void)
{
	pthread_t t;
	pid_t pid;

	peer.key = EVP_EC_gen("P-256");
	peer.ca = certificate("", true);
	peer.dns = bound(SOCK_DGRAM, &peer.dns_port);
	peer.https = bound(SOCK_STREAM, &peer.https_port);
	if (listen(peer.https, 4096) != 0)
		exit(1);
	pid = fork();
	if (pid != 0) {
		close(peer.dns);
		close(peer.https);
		return pid;
	}
	signal(SIGPIPE, SIG_IGN);
	server_ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_tlsext_servername_callback(server_ctx, choose);
	pthread_create(&t, NULL, listen_https, NULL);
	answer_dns();
	_exit(0);
}

/* --- our side --- */

static struct {
	struct hb_loop *loop;
	size_t waiting, found;
	size_t most_fds;
	double first, half, last;
	double start;
	size_t total;
} w;

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
took(void *ctx, struct sts_policy_ref *ref, enum hb_reason why)
{
	(void)ctx;
	(void)why;
	if (ref != NULL && ++w.found == w.total / 2)
		w.half = seconds() - w.start;
	sts_ref_release(&ref);
	if (--w.waiting == 0)
		hb_loop_stop(w.loop);
}

static const struct hb_store_ops ops = { nostore_get, nostore_put,
	nostore_list, NULL };

static void
count_fds(void *timer)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	if (n > w.most_fds)
		w.most_fds = n;
	hb_timer_set(*(struct hb_timer **)timer, 50);
}

static struct hb_tls *
trust(struct hb_buf *err)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *pem;
	long n;
	struct hb_tls *tls;
	struct hb_span bundle;

	PEM_write_bio_X509(b, peer.ca);
	n = BIO_get_mem_data(b, &pem);
	bundle = hb_span(pem, (size_t)n);
	tls = hb_tls_client_new(&bundle, 1, HB_TLSVER_1_2, err);
	BIO_free(b);
	return tls;
}

static unsigned long
number(int argc, char **argv, int i, unsigned long usual)
{
	return argc > i ? strtoul(argv[i], NULL, 10) : usual;
}

int
main(int argc, char **argv)
{
	size_t n = number(argc, argv, 1, 10000);
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_netaddr server = { .family = 4, .b = { 127, 0, 0, 1 } };
	struct hb_conf conf = { .mta_sts = true, .lab = true };
	struct hb_timer *timer;
	struct sts_env env;
	struct sts *s;
	struct hb_dns *dns;
	struct hb_tls *tls;
	struct rusage used;
	char name[40];
	pid_t child;

	peer.delay_ms = (unsigned)number(argc, argv, 2, 200);
	peer.dead = (unsigned)number(argc, argv, 3, 0);
	child = start_peer();
	server.port = peer.dns_port;
	conf.policy_port = peer.https_port;
	conf.resolvers.v = &server;
	conf.resolvers.n = 1;
	w.loop = hb_loop_new();
	dns = hb_dns_new(w.loop, &conf, HB_SPAN_NONE, &err);
	tls = trust(&err);
	env = (struct sts_env){ .loop = w.loop, .conf = &conf, .dns = dns,
		.tls = tls, .ops = &ops, .store = w.loop, .build_ms = 1 };
	s = sts_new(&env);
	timer = hb_timer_new(w.loop, count_fds, &timer);
	hb_timer_set(timer, 50);
	w.start = seconds();
	w.total = w.waiting = n;
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "d%07zu.example", i);
		(void)sts_lookup(s, hb_span_str(name), 0, took, NULL);
	}
	if (hb_loop_run(w.loop) < 0)
		return 1;
	w.last = seconds() - w.start;
	getrusage(RUSAGE_SELF, &used);
	printf("%zu domains, %u ms each, %u %% dead: %zu policies, half after "
	       "%.1f s, all after %.1f s\n", n, peer.delay_ms, peer.dead,
	    w.found, w.half, w.last);
	printf("descriptors at most %zu, memory at most %ld MiB, processor "
	       "%.1f s\n", w.most_fds, used.ru_maxrss / 1024,
	    (double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	hb_timer_free(&timer);
	sts_free(&s);
	hb_dns_free(&dns);
	hb_tls_free(&tls);
	hb_loop_free(&w.loop);
	return 0;
}
