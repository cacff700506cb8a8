/* Child processes for lookups that may block.  Floor 3. */
#include "config.h"

#include "queue/router/work.h"

#include <crypt.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/proto/scram.h"
#include "common/proto/tlv.h"

enum { RT_WORK_USER = 1, RT_WORK_PASSWORD = 2 };
enum { WORK_MAX = 4096, WAITING_MAX = 1000 };

#define RECORD_STRUCT(name) rt_##name
#include "common/proto/record-struct.h"
#include "queue/router/work.def"
#include "common/proto/record-undef.h"

#define RECORD_STRUCT(name) rt_##name
#include "common/proto/record-table.h"
#include "queue/router/work.def"
#include "common/proto/record-undef.h"

static const struct hb_record work_record = { "work", work_fields,
	HB_ARRAY_LEN(work_fields), sizeof(struct rt_work) };
static const struct hb_record done_record = { "work_done", work_done_fields,
	HB_ARRAY_LEN(work_done_fields), sizeof(struct rt_work_done) };

struct work_request {
	TAILQ_ENTRY(work_request) link;
	struct hb_buf bytes; /* may hold a password: wiped */
	rt_found_fn cb;
	void *ctx;
	int64_t asked_ms;
};

struct child {
	struct rt_pool *pool;
	pid_t pid;
	int fd;
	struct hb_io *io;
	struct hb_timer *timer;
	struct work_request *at; /* NULL: idle */
};

/* The questions of one process: it waits for itself alone. */
struct lane {
	TAILQ_HEAD(, work_request) waiting;
	size_t n;
};

struct rt_pool {
	struct hb_loop *loop;
	int64_t timeout_ms;
	struct child *child;
	unsigned n;
	struct lane lane[RT_LANES];
	unsigned turn; /* the lane that is looked at first */
	struct hb_timer *sweep; /* answers what waited too long */
};

/* A hash that nothing matches, of the default method and cost. */
static const char no_such_login[] =
    "$6$rounds=5000$nosuchloginhere$"
    "..............................................................."
    ".......................";

static enum rt_found
look_up_user(struct hb_span name)
{
	char text[257];
	struct passwd *pw;

	if (hb_span_copy(name, text, sizeof(text)) < 0)
		return RT_NOTFOUND;
	errno = 0;
	pw = getpwnam(text);
	if (pw != NULL)
		return RT_FOUND;
	if (errno == 0 || errno == ENOENT || errno == ESRCH)
		return RT_NOTFOUND;
	return RT_TEMP;
}

/* Takes the same time wherever the first difference is. */
static bool
same_text(const char *a, const char *b)
{
	size_t n = strlen(b);
	unsigned char d = 0;

	if (strlen(a) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		d |= (unsigned char)(a[i] ^ b[i]);
	return d == 0;
}

/* Is HASH one that can be tried, and does PASSWORD give it?  -1: it is not,
 * and has cost no time. */
static int
try_hash(const char *password, struct hb_span hash, struct crypt_data *data)
{
	struct hb_scram_verifier v;
	char text[513];
	const char *got;

	if (hb_scram_is_verifier(hash))
		return hb_scram_verifier_parse(hash, &v) < 0 ? -1
		    : hb_scram_is_password(&v, hb_span_str(password)) ? 1 : 0;
	if (hash.n == 0 || hb_span_copy(hash, text, sizeof(text)) < 0)
		return -1;
	got = crypt_r(password, text, data);
	if (got == NULL || got[0] == '*')
		return -1;
	return same_text(got, text) ? 1 : 0;
}

static enum rt_found
check_password(const struct rt_work *w)
{
	char password[1025];
	struct crypt_data *data;
	int right;

	if (hb_span_copy(w->password, password, sizeof(password)) < 0)
		return RT_NOTFOUND;
	data = HB_NEW(struct crypt_data);
	right = try_hash(password, w->hash, data);
	if (right < 0 && try_hash(password, w->usual, data) < 0)
		(void)try_hash(password, hb_span_str(no_such_login), data);
	hb_wipe(password, sizeof(password));
	hb_wipe(data, sizeof(*data));
	free(data);
	return right == 1 ? RT_FOUND : RT_NOTFOUND;
}

/* Closes all but the standard descriptors and FD: a channel kept open here
 * would hide the router's death from its peers.  Returns FD's new number. */
static int
keep_only(int fd)
{
	if (dup2(fd, STDERR_FILENO + 1) < 0 ||
	    close_range(STDERR_FILENO + 2, ~0U, 0) != 0)
		_exit(1);
	return STDERR_FILENO + 1;
}

static void
child_main(int fd)
{
	static unsigned char buf[WORK_MAX];
	struct hb_buf out = HB_BUF_INIT(WORK_MAX);

	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));
		struct rt_work_done done = { .result = RT_TEMP };
		struct rt_work w;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);
		if (hb_tlv_decode(&work_record, hb_span(buf, (size_t)n), &w) == 0)
			done.result = w.kind == RT_WORK_USER
			    ? look_up_user(w.name) : check_password(&w);
		hb_wipe(buf, sizeof(buf));
		hb_buf_clear(&out);
		/* An empty record would be an empty datagram: end of file. */
		if (hb_buf_putc(&out, 200) < 0 || hb_buf_putc(&out, 0) < 0 ||
		    hb_tlv_encode(&done_record, &done, &out) < 0 ||
		    write(fd, out.p + out.off, out.n) < 0)
			_exit(1);
	}
}

static void on_answer(void *ctx, unsigned what);
static void start_child(struct child *c);

static void
stop_child(struct child *c)
{
	if (c->pid <= 0)
		return;
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	hb_io_free(&c->io);
	close(c->fd);
	c->pid = 0;
}

static void
finish(struct work_request *q, enum rt_found found)
{
	rt_found_fn cb = q->cb;
	void *ctx = q->ctx;

	hb_buf_wipe(&q->bytes);
	free(q);
	cb(ctx, found);
}

/* The lane whose turn it is of those that wait, or NULL. */
static struct lane *
next_lane(struct rt_pool *p)
{
	for (unsigned i = 0; i < RT_LANES; i++) {
		struct lane *l = &p->lane[(p->turn + i) % RT_LANES];

		if (l->n == 0)
			continue;
		p->turn = (p->turn + i) % RT_LANES;
		return l;
	}
	return NULL;
}

static struct work_request *
take(struct lane *l)
{
	struct work_request *q = TAILQ_FIRST(&l->waiting);

	TAILQ_REMOVE(&l->waiting, q, link);
	l->n--;
	return q;
}

/* Hands the next waiting question to C. */
static void
feed(struct child *c)
{
	struct rt_pool *p = c->pool;
	struct lane *l = next_lane(p);
	struct work_request *q;

	if (l == NULL || c->at != NULL)
		return;
	if (c->pid <= 0)
		start_child(c);
	if (c->pid <= 0)
		return;
	p->turn++;
	q = c->at = take(l);
	hb_timer_set(c->timer, p->timeout_ms);
	if (send(c->fd, q->bytes.p + q->bytes.off, q->bytes.n,
		MSG_NOSIGNAL) < 0)
		hb_timer_set(c->timer, 0); /* taken for a silent child */
}

static void
answered(struct child *c, enum rt_found found)
{
	struct work_request *q = c->at;

	c->at = NULL;
	hb_timer_clear(c->timer);
	finish(q, found);
	feed(c);
}

static void
on_late(void *ctx)
{
	struct child *c = ctx;

	HB_LOG(HB_LOG_WARN, HB_EV_MAP, hb_kv_str(HB_K_NAME, "lookup"),
	    hb_kv_str(HB_K_ERROR, "no answer in time"));
	stop_child(c);
	answered(c, RT_TEMP);
}

static void
on_answer(void *ctx, unsigned what)
{
	struct child *c = ctx;
	unsigned char buf[WORK_MAX];
	struct rt_work_done done;
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || c->at == NULL ||
	    hb_tlv_decode(&done_record, hb_span(buf, (size_t)n), &done) < 0) {
		stop_child(c);
		if (c->at != NULL)
			answered(c, RT_TEMP);
		return;
	}
	answered(c, (enum rt_found)done.result);
}

static void
start_child(struct child *c)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) != 0)
		return;
	c->pid = fork();
	if (c->pid == 0)
		child_main(keep_only(sv[1]));
	close(sv[1]);
	if (c->pid < 0) {
		close(sv[0]);
		return;
	}
	c->fd = sv[0];
	c->io = hb_io_new(c->pool->loop, c->fd, on_answer, c);
	hb_io_want(c->io, HB_IO_READ);
}

/* Also those that could not be started before. */
static void
feed_all(struct rt_pool *p)
{
	for (unsigned i = 0; i < p->n && next_lane(p) != NULL; i++)
		feed(&p->child[i]);
}

/* Questions that found no free child for the whole time. */
static void
on_sweep(void *ctx)
{
	struct rt_pool *p = ctx;

	for (unsigned i = 0; i < RT_LANES; i++) {
		struct lane *l = &p->lane[i];

		while (l->n > 0 && hb_mono_ms() -
			TAILQ_FIRST(&l->waiting)->asked_ms >= p->timeout_ms)
			finish(take(l), RT_TEMP);
	}
	feed_all(p);
	if (next_lane(p) != NULL)
		hb_timer_set(p->sweep, 500);
}

struct rt_pool *
rt_pool_new(struct hb_loop *l, unsigned children, int64_t timeout_ms)
{
	struct rt_pool *p = HB_NEW(struct rt_pool);

	p->loop = l;
	p->timeout_ms = timeout_ms;
	p->n = children;
	p->child = hb_calloc(children, sizeof(*p->child));
	p->sweep = hb_timer_new(l, on_sweep, p);
	for (unsigned i = 0; i < RT_LANES; i++)
		TAILQ_INIT(&p->lane[i].waiting);
	for (unsigned i = 0; i < children; i++) {
		p->child[i].pool = p;
		p->child[i].timer = hb_timer_new(l, on_late, &p->child[i]);
	}
	return p;
}

void
rt_pool_stop(struct rt_pool *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		stop_child(&p->child[i]);
		hb_timer_free(&p->child[i].timer);
	}
	p->n = 0;
}

void
rt_pool_free(struct rt_pool **p)
{
	struct lane *l;

	if (*p == NULL)
		return;
	for (unsigned i = 0; i < (*p)->n; i++) {
		struct child *c = &(*p)->child[i];

		stop_child(c);
		hb_timer_free(&c->timer);
		if (c->at != NULL)
			finish(c->at, RT_TEMP);
	}
	while ((l = next_lane(*p)) != NULL)
		finish(take(l), RT_TEMP);
	hb_timer_free(&(*p)->sweep);
	free((*p)->child);
	free(*p);
	*p = NULL;
}

static enum rt_found
ask(struct rt_pool *p, unsigned lane, const struct rt_work *w, rt_found_fn cb,
    void *ctx)
{
	struct lane *l = &p->lane[lane % RT_LANES];
	struct work_request *q;
	struct hb_buf bytes = HB_BUF_INIT(WORK_MAX);

	if (l->n >= WAITING_MAX ||
	    hb_tlv_encode(&work_record, w, &bytes) < 0) {
		hb_buf_wipe(&bytes);
		return RT_TEMP;
	}
	q = HB_NEW(struct work_request);
	*q = (struct work_request){ .bytes = bytes, .cb = cb, .ctx = ctx,
		.asked_ms = hb_mono_ms() };
	TAILQ_INSERT_TAIL(&l->waiting, q, link);
	l->n++;
	feed_all(p);
	if (next_lane(p) != NULL && !hb_timer_is_set(p->sweep))
		hb_timer_set(p->sweep, 500);
	return RT_LATER;
}

enum rt_found
rt_pool_user(struct rt_pool *p, unsigned lane, struct hb_span name,
    rt_found_fn cb, void *ctx)
{
	struct rt_work w = { .kind = RT_WORK_USER, .name = name };

	return ask(p, lane, &w, cb, ctx);
}

enum rt_found
rt_pool_password(struct rt_pool *p, unsigned lane,
    const struct rt_password *q, rt_found_fn cb, void *ctx)
{
	struct rt_work w = { .kind = RT_WORK_PASSWORD,
		.password = q->password, .hash = q->hash, .usual = q->usual };

	return ask(p, lane, &w, cb, ctx);
}
