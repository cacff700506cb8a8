/* Policy fetch with libcurl.  RFC 8461 s3.3.  Floor 3. */
#include "sts/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/base/limits.h"
#include "common/base/mem.h"

enum {
	TOTAL_MS = 60 * 1000, /* RFC 8461 s3.3 */
	CONNECT_MS = 20 * 1000,
	PINNED_S = 2 * 60, /* longer than any fetch */
	HOST_SIZE = sizeof("mta-sts.") + HB_MAX_DOMAIN,
	URL_SIZE = HOST_SIZE + 64,
	HTTPS_PORT = 443,
	HEAD_MOST = 64 * 1024, /* fields behind the body too: curl keeps all */
	/* Of all that comes, as records: handshake, fields, body, and what
	 * frames it (RFC 9112 s7.1.1), which curl tells nobody of. */
	WIRE_MOST = 384 * 1024
};

struct sts_http {
	struct hb_loop *loop;
	const struct hb_conf *conf;
	struct hb_dns *dns;
	struct hb_tls *tls;
	CURLM *multi;
	struct hb_timer *timer;
	LIST_HEAD(, sts_http_get) gets;
};

struct sts_http_get {
	LIST_ENTRY(sts_http_get) link;
	struct sts_http *h;
	sts_http_fn cb;
	void *ctx;
	char host[HOST_SIZE]; /* mta-sts.DOMAIN */
	int64_t started_ms;
	/* addresses */
	struct question {
		struct sts_http_get *get;
		struct hb_dns_query *query;
	} questions[2];
	unsigned waiting; /* questions not answered yet */
	struct hb_netaddr addrs[HB_MAX_HOST_ADDRESSES];
	size_t naddrs;
	/* transfer */
	CURL *easy;
	struct curl_slist *pin, *connect_to;
	size_t head; /* bytes of header fields so far */
	size_t wire; /* of all */
	struct hb_buf body;
	bool too_long;
	char error[CURL_ERROR_SIZE];
};

/* --- the loop as curl sees it --- */

struct http_sock {
	struct sts_http *h;
	curl_socket_t fd;
	struct hb_io *io;
};

static void reap(struct sts_http *h);
static void finish(struct sts_http_get *g, enum hb_reason why,
    const char *text);

static void
act(struct sts_http *h, curl_socket_t fd, int what)
{
	struct sts_http_get *g;
	int running;

	curl_multi_socket_action(h->multi, fd, what, &running);
	reap(h);
	/* A callback may end others too. */
	g = LIST_FIRST(&h->gets);
	while (g != NULL)
		if (g->wire > WIRE_MOST) {
			finish(g, HB_REASON_STS_FETCH_SIZE, NULL);
			g = LIST_FIRST(&h->gets);
		} else {
			g = LIST_NEXT(g, link);
		}
}

static void
on_io(void *ctx, unsigned what)
{
	const struct http_sock *s = ctx;
	int bits = (what & HB_IO_READ ? CURL_CSELECT_IN : 0) |
		   (what & HB_IO_WRITE ? CURL_CSELECT_OUT : 0);

	act(s->h, s->fd, bits); /* S may be gone now */
}

static void
on_timer(void *ctx)
{
	act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int
on_multi_timer(CURLM *multi, long ms, void *ctx)
{
	struct sts_http *h = ctx;

	if (ms < 0)
		hb_timer_clear(h->timer);
	else
		hb_timer_set(h->timer, ms);
	return 0;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *sockp)
{
	struct sts_http *h = ctx;
	struct http_sock *s = sockp;

	if (what == CURL_POLL_REMOVE) {
		if (s != NULL)
			hb_io_free(&s->io);
		free(s);
		return 0;
	}
	if (s == NULL) {
		s = HB_NEW(struct http_sock);
		*s = (struct http_sock){ h, fd, NULL };
		s->io = hb_io_new(h->loop, fd, on_io, s);
		curl_multi_assign(h->multi, fd, s);
	}
	hb_io_want(s->io, (what & CURL_POLL_IN ? HB_IO_READ : 0) |
			      (what & CURL_POLL_OUT ? HB_IO_WRITE : 0));
	return 0;
}

/* --- one transfer --- */

static size_t
on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct sts_http_get *g = ctx;

	g->too_long = hb_buf_put(&g->body, hb_span(p, size * n)) < 0;
	return g->too_long ? 0 : size * n;
}

static size_t
on_head(char *p, size_t size, size_t n, void *ctx)
{
	struct sts_http_get *g = ctx;

	g->head += size * n;
	return g->head <= HEAD_MOST ? size * n : 0;
}

/* The head of each record says how long it is. */
static void
on_record(int written, int version, int type, const void *buf, size_t n,
    SSL *ssl, void *ctx)
{
	const unsigned char *head = buf;
	struct sts_http_get *g = ctx;

	if (written == 0 && type == SSL3_RT_HEADER && n >= 5)
		g->wire += n + (size_t)head[3] * 256 + head[4];
}

/* The roots are shared and already loaded.  Names come from DNS-IDs alone:
 * RFC 8461 s3.3 knows no common names (curl's own check would take one). */
static CURLcode
on_ssl_ctx(CURL *easy, void *ssl_ctx, void *ctx)
{
	struct sts_http_get *g = ctx;
	SSL_CTX *c = ssl_ctx;
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(c);

	SSL_CTX_set1_cert_store(c, hb_tls_store(g->h->tls));
	hb_tls_bound(c);
	SSL_CTX_set_msg_callback(c, on_record);
	SSL_CTX_set_msg_callback_arg(c, g);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
		       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (X509_VERIFY_PARAM_set1_host(param, g->host, 0) != 1 ||
	    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1)
		return CURLE_SSL_CERTPROBLEM;
	return CURLE_OK;
}

static void
end_transfer(struct sts_http_get *g)
{
	if (g->easy != NULL) {
		curl_multi_remove_handle(g->h->multi, g->easy);
		curl_easy_cleanup(g->easy);
		g->easy = NULL;
	}
	curl_slist_free_all(g->pin);
	curl_slist_free_all(g->connect_to);
	g->pin = g->connect_to = NULL;
	hb_buf_free(&g->body);
	g->too_long = false;
}

static void
end_questions(struct sts_http_get *g)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(g->questions); i++) {
		hb_dns_cancel(g->questions[i].query);
		g->questions[i].query = NULL;
	}
}

void
sts_http_cancel(struct sts_http_get *g)
{
	if (g == NULL)
		return;
	end_questions(g);
	end_transfer(g);
	LIST_REMOVE(g, link);
	free(g);
}

/* The end of a fetch: tells, then forgets. */
static void
finish(struct sts_http_get *g, enum hb_reason why, const char *text)
{
	g->cb(g->ctx, why,
	    why == HB_REASON_NONE ? hb_buf_span(&g->body) : HB_SPAN_NONE, text);
	sts_http_cancel(g);
}

static const struct {
	CURLcode code;
	enum hb_reason why;
} failures[] = {
	{ CURLE_OPERATION_TIMEDOUT, HB_REASON_STS_FETCH_TIMEOUT },
	{ CURLE_COULDNT_RESOLVE_HOST, HB_REASON_STS_FETCH_DNS },
	{ CURLE_COULDNT_CONNECT, HB_REASON_STS_FETCH_CONNECT },
	{ CURLE_SEND_ERROR, HB_REASON_STS_FETCH_CONNECT },
	{ CURLE_RECV_ERROR, HB_REASON_STS_FETCH_CONNECT },
	{ CURLE_SSL_CONNECT_ERROR, HB_REASON_STS_FETCH_CONNECT },
	{ CURLE_PEER_FAILED_VERIFICATION, HB_REASON_STS_FETCH_CERT },
	{ CURLE_SSL_CERTPROBLEM, HB_REASON_STS_FETCH_CERT },
	{ CURLE_FILESIZE_EXCEEDED, HB_REASON_STS_FETCH_SIZE },
};

static enum hb_reason
failure_of(CURLcode code)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(failures); i++)
		if (failures[i].code == code)
			return failures[i].why;
	return HB_REASON_STS_FETCH_HTTP;
}

/* RFC 8461 s3.2: text/plain; parameters are ignored. */
static bool
is_plain_text(const char *type)
{
	struct hb_span rest = hb_span_str(type);

	return hb_span_eq_nocase(
	    hb_span_trim(hb_span_cut(&rest, ';')), HB_SPAN("text/plain"));
}

static enum hb_reason
judge(const struct sts_http_get *g, CURLcode code)
{
	long status = 0;
	const char *type = NULL;

	curl_easy_getinfo(g->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 0 && status != 200)
		return HB_REASON_STS_FETCH_STATUS;
	if (g->too_long)
		return HB_REASON_STS_FETCH_SIZE;
	if (code != CURLE_OK)
		return failure_of(code);
	curl_easy_getinfo(g->easy, CURLINFO_CONTENT_TYPE, &type);
	return is_plain_text(type) ? HB_REASON_NONE : HB_REASON_STS_FETCH_TYPE;
}

static void
reap(struct sts_http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct sts_http_get *g = NULL;
		enum hb_reason why;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &g);
		why = judge(g, m->data.result);
		finish(g, why, g->error[0] != '\0' ? g->error : NULL);
	}
}

static unsigned
port_of(const struct sts_http *h)
{
	return h->conf->lab ? h->conf->policy_port : HTTPS_PORT;
}

/* "+mta-sts.DOMAIN:PORT:ADDR,ADDR": no other resolver is ever asked. */
static struct curl_slist *
pin_of(const struct sts_http_get *g)
{
	struct hb_buf line = HB_BUF_INIT(0);
	struct curl_slist *list;

	hb_buf_addf(&line, "+%s:%u:", g->host, port_of(g->h));
	for (size_t i = 0; i < g->naddrs; i++) {
		char text[HB_NETADDR_TEXT];

		hb_netaddr_format(&g->addrs[i], text);
		hb_buf_addf(&line, g->addrs[i].family == 6 ? "%s[%s]" : "%s%s",
		    i > 0 ? "," : "", text);
	}
	list = curl_slist_append(NULL, hb_buf_cstr(&line));
	hb_buf_free(&line);
	return list;
}

static void
set_target(struct sts_http_get *g)
{
	char text[URL_SIZE + HOST_SIZE];

	g->pin = pin_of(g);
	curl_easy_setopt(g->easy, CURLOPT_RESOLVE, g->pin);
	curl_easy_setopt(g->easy, CURLOPT_DNS_CACHE_TIMEOUT, (long)PINNED_S);
	if (port_of(g->h) != HTTPS_PORT) {
		snprintf(text, sizeof(text), "%s:%d:%s:%u", g->host, HTTPS_PORT,
		    g->host, port_of(g->h));
		g->connect_to = curl_slist_append(NULL, text);
		curl_easy_setopt(g->easy, CURLOPT_CONNECT_TO, g->connect_to);
	}
	/* RFC 8461 s3.2 */
	snprintf(
	    text, sizeof(text), "https://%s/.well-known/mta-sts.txt", g->host);
	curl_easy_setopt(g->easy, CURLOPT_URL, text);
}

static void
set_limits(struct sts_http_get *g)
{
	int64_t left = TOTAL_MS - (hb_mono_ms() - g->started_ms);
	CURL *e = g->easy;

	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, left > 1 ? (long)left : 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(e, CURLOPT_MAXFILESIZE, (long)HB_MAX_STS_BODY);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, g);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, g);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, g->error);
	curl_easy_setopt(e, CURLOPT_PRIVATE, g);
}

/* Nothing is shared between domains: no connection, no TLS session. */
static void
set_tls(struct sts_http_get *g)
{
	CURL *e = g->easy;

	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(e, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
	curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, g);
}

static void
transfer(struct sts_http_get *g)
{
	g->easy = curl_easy_init();
	if (g->easy == NULL)
		HB_BUG("out of memory");
	g->body = HB_BUF_INIT(HB_MAX_STS_BODY);
	g->head = g->wire = 0;
	g->error[0] = '\0';
	set_limits(g);
	set_tls(g);
	set_target(g);
	curl_multi_add_handle(g->h->multi, g->easy);
}

/* --- addresses of the policy host --- */

static void
on_address(void *ctx, const struct hb_dns_answer *a)
{
	struct question *q = ctx;
	struct sts_http_get *g = q->get;

	q->query = NULL;
	for (size_t i = 0; i < a->n && g->naddrs < HB_ARRAY_LEN(g->addrs);
	     i++) {
		struct hb_netaddr *to = &g->addrs[g->naddrs];
		struct hb_span data = a->rr[i].data;

		if (data.n != 4 && data.n != 16)
			continue;
		*to = (struct hb_netaddr){ .family = data.n == 4 ? 4 : 6 };
		memcpy(to->b, data.p, data.n);
		g->naddrs++;
	}
	if (--g->waiting > 0)
		return;
	if (g->naddrs > 0)
		transfer(g);
	else
		finish(g, HB_REASON_STS_FETCH_DNS, NULL);
}

static void
find_addresses(struct sts_http_get *g)
{
	static const enum hb_dns_type types[] = { HB_DNS_AAAA, HB_DNS_A };
	const struct hb_conf *conf = g->h->conf;

	g->naddrs = 0;
	if (conf->lab && conf->policy_address.family != 0) {
		g->addrs[g->naddrs++] = conf->policy_address;
		transfer(g);
		return;
	}
	g->waiting = (unsigned)HB_ARRAY_LEN(types);
	for (size_t i = 0; i < HB_ARRAY_LEN(types); i++) {
		g->questions[i].get = g;
		g->questions[i].query =
		    hb_dns_ask(g->h->dns, hb_span_str(g->host), types[i],
			on_address, &g->questions[i]);
	}
}

struct sts_http_get *
sts_http_start(
    struct sts_http *h, struct hb_span domain, sts_http_fn cb, void *ctx)
{
	struct sts_http_get *g = HB_NEW(struct sts_http_get);

	HB_ASSERT(domain.n <= HB_MAX_DOMAIN);
	snprintf(g->host, sizeof(g->host), "mta-sts.%.*s", HB_SPAN_ARG(domain));
	g->h = h;
	g->cb = cb;
	g->ctx = ctx;
	g->started_ms = hb_mono_ms();
	LIST_INSERT_HEAD(&h->gets, g, link);
	find_addresses(g);
	return g;
}

/* --- all of them --- */

struct sts_http *
sts_http_new(struct hb_loop *l)
{
	struct sts_http *h;
	CURLM *multi;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;
	multi = curl_multi_init();
	if (multi == NULL)
		return NULL;
	h = HB_NEW(struct sts_http);
	h->loop = l;
	h->multi = multi;
	h->timer = hb_timer_new(l, on_timer, h);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_multi_timer);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, h);
	return h;
}

void
sts_http_free(struct sts_http **h)
{
	if (*h == NULL)
		return;
	while (!LIST_EMPTY(&(*h)->gets))
		sts_http_cancel(LIST_FIRST(&(*h)->gets));
	curl_multi_cleanup((*h)->multi);
	hb_timer_free(&(*h)->timer);
	curl_global_cleanup();
	free(*h);
	*h = NULL;
}

void
sts_http_use(struct sts_http *h, const struct hb_conf *conf, struct hb_dns *dns,
    struct hb_tls *tls)
{
	struct sts_http_get *g;

	LIST_FOREACH(g, &h->gets, link) {
		end_questions(g);
		end_transfer(g);
	}
	h->conf = conf;
	h->dns = dns;
	h->tls = tls;
	LIST_FOREACH(g, &h->gets, link)
		find_addresses(g);
}
