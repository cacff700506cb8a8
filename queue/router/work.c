/* Processes for lookups that may block.  Floor 3. */
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
#include "common/io/trouble.h"
#include "queue/router/workrec.h"

enum { WAITING_MAX = 1000 };

struct work_request {
	TAILQ_ENTRY(work_request) link;
	struct hb_buf bytes; /* may hold a password: wiped */
	struct hb_buf *user; /* for the name that is answered, or NULL */
	rt_found_fn cb;
	void *ctx;
	int64_t asked_ms;
};

struct child {
	struct rt_pool *pool;
	pid_t pid;    /* 0: none, or the parent's */
	int fd;	      /* -1: none */
	uint32_t ref; /* of the one that the parent is asked for, or 0 */
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
	/* The parent starts a process for each question; NULL: we fork. */
	void (*start)(void *ctx, uint32_t ref);
	void *ctx;
	uint32_t refs;
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
	static unsigned char buf[RT_WORK_MAX];
	struct hb_buf out = HB_BUF_INIT(RT_WORK_MAX);

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
		if (hb_tlv_decode(&rt_work_record, hb_span(buf, (size_t)n),
			&w) == 0)
			done.result = w.kind == RT_WORK_USER
			    ? look_up_user(w.name) : check_password(&w);
		hb_wipe(buf, sizeof(buf));
		if (rt_work_done_put(&done, &out) < 0 ||
		    write(fd, out.p + out.off, out.n) < 0)
			_exit(1);
	}
}

static void on_answer(void *ctx, unsigned what);
static void start_child(struct child *c);

static void
stop_child(struct child *c)
{
	if (c->pid > 0) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	hb_io_free(&c->io);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->pid = 0;
	c->ref = 0;
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

static void
put_question(struct child *c)
{
	const struct work_request *q = c->at;

	if (send(c->fd, q->bytes.p + q->bytes.off, q->bytes.n,
		MSG_NOSIGNAL) < 0)
		hb_timer_set(c->timer, 0); /* taken for a silent child */
}

/* Hands the next waiting question to C. */
static void
feed(struct child *c)
{
	struct rt_pool *p = c->pool;
	struct lane *l = next_lane(p);

	if (l == NULL || c->at != NULL)
		return;
	if (p->start == NULL && c->fd < 0)
		start_child(c);
	if (p->start == NULL && c->fd < 0)
		return;
	p->turn++;
	c->at = take(l);
	hb_timer_set(c->timer, p->timeout_ms);
	if (p->start == NULL) {
		put_question(c);
		return;
	}
	c->ref = ++p->refs != 0 ? p->refs : ++p->refs;
	p->start(p->ctx, c->ref);
}

/* What PAM says, or why it could not be asked; WHY is empty: nothing is wrong. */
static void
tell(const struct child *c, enum rt_found found, struct hb_span why)
{
	static const char about[] = "auth pam";

	if (c->pool->start == NULL)
		return;
	if (why.n > 0)
		hb_trouble_begin(HB_EV_MAP, hb_span_str(about), why);
	else if (found == RT_FOUND)
		hb_trouble_end(HB_EV_MAP, hb_span_str(about));
}

static void
answered(struct child *c, const struct rt_work_done *done)
{
	struct work_request *q = c->at;

	c->at = NULL;
	hb_timer_clear(c->timer);
	if (c->pool->start != NULL)
		stop_child(c);
	tell(c, (enum rt_found)done->result, done->why);
	if (q->user != NULL && done->login.n > 0) {
		hb_buf_clear(q->user);
		hb_buf_add(q->user, done->login);
	}
	finish(q, (enum rt_found)done->result);
	feed(c);
}

/* Nobody's answer. */
static void
failed(struct child *c, const char *why)
{
	struct rt_work_done done = { .result = RT_TEMP,
		.why = hb_span_str(why) };

	stop_child(c);
	if (c->at != NULL)
		answered(c, &done);
}

static void
on_late(void *ctx)
{
	static const char why[] = "no answer in time";
	struct child *c = ctx;

	HB_LOG(HB_LOG_WARN, HB_EV_MAP, hb_kv_str(HB_K_NAME, "lookup"),
	    hb_kv_str(HB_K_ERROR, why));
	failed(c, why);
}

static void
on_answer(void *ctx, unsigned what)
{
	struct child *c = ctx;
	unsigned char buf[RT_WORK_MAX];
	struct rt_work_done done;
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || c->at == NULL ||
	    hb_tlv_decode(&rt_work_done_record, hb_span(buf, (size_t)n),
		&done) < 0)
		failed(c, "it ended without an answer");
	else
		answered(c, &done);
}

static void
use_channel(struct child *c, int fd)
{
	c->fd = fd;
	c->io = hb_io_new(c->pool->loop, c->fd, on_answer, c);
	hb_io_want(c->io, HB_IO_READ);
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
		c->pid = 0;
		return;
	}
	use_channel(c, sv[0]);
}

static struct child *
waiting_for(struct rt_pool *p, uint32_t ref)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->child[i].ref == ref && p->child[i].fd < 0)
			return &p->child[i];
	return NULL;
}

void
rt_pool_child(struct rt_pool *p, uint32_t ref, int fd)
{
	struct child *c = ref != 0 ? waiting_for(p, ref) : NULL;

	if (c == NULL) { /* it came too late */
		if (fd >= 0)
			close(fd);
	} else if (fd < 0) {
		failed(c, strerror(-fd));
	} else {
		use_channel(c, fd);
		put_question(c);
	}
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
		p->child[i].fd = -1;
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
rt_pool_by_parent(struct rt_pool *p, void (*start)(void *ctx, uint32_t ref),
    void *ctx)
{
	p->start = start;
	p->ctx = ctx;
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
ask(struct rt_pool *p, unsigned lane, const struct rt_work *w,
    struct hb_buf *user, rt_found_fn cb, void *ctx)
{
	struct lane *l = &p->lane[lane % RT_LANES];
	struct work_request *q;
	struct hb_buf bytes = HB_BUF_INIT(RT_WORK_MAX);

	if (l->n >= WAITING_MAX ||
	    hb_tlv_encode(&rt_work_record, w, &bytes) < 0) {
		hb_buf_wipe(&bytes);
		return RT_TEMP;
	}
	q = HB_NEW(struct work_request);
	*q = (struct work_request){ .bytes = bytes, .user = user, .cb = cb,
		.ctx = ctx, .asked_ms = hb_mono_ms() };
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

	return ask(p, lane, &w, NULL, cb, ctx);
}

enum rt_found
rt_pool_password(struct rt_pool *p, unsigned lane,
    const struct rt_password *q, rt_found_fn cb, void *ctx)
{
	struct rt_work w = { .kind = RT_WORK_PASSWORD,
		.password = q->password, .hash = q->hash, .usual = q->usual };

	return ask(p, lane, &w, NULL, cb, ctx);
}

enum rt_found
rt_pool_pam(struct rt_pool *p, unsigned lane, const struct ipc_auth *m,
    struct hb_buf *user, rt_found_fn cb, void *ctx)
{
	struct rt_work w = { .kind = RT_WORK_PASSWORD, .name = m->user,
		.password = m->password, .client = m->client };

	return ask(p, lane, &w, user, cb, ctx);
}
