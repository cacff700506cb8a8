/*
 * DNS questions in a world that plays dice: c-ares, the loop and its clock are
 * played by this file.  Each question is answered once, within the time of all
 * its tries, and not after it was cancelled, whoever joins it, leaves it or
 * asks again from inside of an answer.
 *
 * HB_RANDOM_SEEDS=N plays that many games, HB_RANDOM_FIRST=N begins with that
 * one.
 */
#include "tests/unit/unit.h"

#include <sys/time.h>

#include <ares.h>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/io/dns.h"
#include "tests/unit/dice.h"

enum {
	SERVERS = 3,
	NAMES = 40,
	ASKS = 8000,
	SENT = 8000,
	TIMERS = 16,
	TRY_MS = 2500,
	/* four tries, and a little while of waiting for its turn */
	ASK_MS = 4 * (TRY_MS + 1) + 500,
	NESTED = 3,
	OPT = 11
};

struct hb_timer {
	hb_timer_fn cb;
	void *ctx;
	int64_t at; /* 0: not set */
	bool used;
};

struct hb_io {
	struct ares_channeldata *channel;
	hb_io_fn cb;
	void *ctx;
	unsigned want;
};

/* A server, as c-ares sees it. */
struct ares_channeldata {
	struct ares_options options;
	struct hb_io io;
	int fd;
	bool open, deaf, old; /* OLD: without EDNS */
};

struct sent {
	struct ares_channeldata *to; /* NULL: free */
	ares_callback cb;
	void *arg;
	int64_t answer_at, until; /* answer_at 0: never */
	unsigned char packet[HB_MAX_DOMAIN + 32 + OPT];
	int len;
};

struct ask {
	bool used, waiting, calling;
	struct hb_dns_query *q;
	int64_t until;
};

struct hb_hook {
	void (*cb)(void *ctx);
	void *ctx;
	bool armed;
};

static struct {
	unsigned long seed;
	int64_t now;
	struct hb_timer timers[TIMERS];
	struct hb_hook hook; /* the only one */
	struct ares_channeldata servers[SERVERS];
	size_t nservers;
	struct sent sent[SENT];
	struct ask asks[ASKS];
	struct hb_dns *dns;
	unsigned nested, trouble; /* of 100 answers */
	bool ending;
} w;
static unsigned long answered, cancelled, failed; /* in all games */

static void HB_NORETURN
lost(const char *what)
{
	fail_msg("game %lu, at %lld ms: %s", w.seed, (long long)w.now, what);
	abort();
}

/* --- the loop --- */

int64_t
hb_mono_ms(void)
{
	return w.now;
}

int64_t
hb_age_ms(void)
{
	return w.now;
}

void
hb_random(void *dst, size_t n)
{
	memset(dst, (int)roll(256), n);
}

struct hb_timer *
hb_timer_new(struct hb_loop *l, hb_timer_fn cb, void *ctx)
{
	size_t i = 0;

	while (w.timers[i].used)
		assert_true(++i < TIMERS);
	w.timers[i] = (struct hb_timer){ .cb = cb, .ctx = ctx, .used = true };
	return &w.timers[i];
}

void
hb_timer_set(struct hb_timer *t, int64_t ms)
{
	assert_true(t->used && ms >= 0);
	t->at = w.now + ms;
}

void
hb_timer_clear(struct hb_timer *t)
{
	t->at = 0;
}

bool
hb_timer_is_set(const struct hb_timer *t)
{
	return t->at != 0;
}

void
hb_timer_free(struct hb_timer **t)
{
	if (*t != NULL)
		**t = (struct hb_timer){ .used = false };
	*t = NULL;
}

struct hb_io *
hb_io_new(struct hb_loop *l, int fd, hb_io_fn cb, void *ctx)
{
	struct hb_io *io = &w.servers[fd].io;

	assert_null(io->cb);
	*io = (struct hb_io){ &w.servers[fd], cb, ctx, 0 };
	return io;
}

void
hb_io_want(struct hb_io *io, unsigned what)
{
	io->want = what;
}

void
hb_io_free(struct hb_io **io)
{
	if (*io != NULL)
		**io = (struct hb_io){ .cb = NULL };
	*io = NULL;
}

struct hb_hook *
hb_hook_new(struct hb_loop *l, void (*cb)(void *ctx), void *ctx)
{
	assert_null(w.hook.cb);
	w.hook = (struct hb_hook){ cb, ctx, false };
	return &w.hook;
}

void
hb_hook_arm(struct hb_hook *h)
{
	h->armed = true;
}

void
hb_hook_free(struct hb_hook **h)
{
	**h = (struct hb_hook){ .armed = false };
	*h = NULL;
}

static void
end_turn(void)
{
	while (w.hook.armed) {
		w.hook.armed = false;
		w.hook.cb(w.hook.ctx);
	}
}

/* --- c-ares --- */

int
ares_library_init(int flags)
{
	return ARES_SUCCESS;
}

void
ares_library_cleanup(void)
{
}

int
ares_init_options(ares_channel *out, struct ares_options *options, int mask)
{
	struct ares_channeldata *s = &w.servers[w.nservers++];

	*s = (struct ares_channeldata){ .options = *options,
		.fd = (int)(s - w.servers) };
	assert_int_equal(options->timeout, TRY_MS);
	assert_int_equal(options->tries, 1);
	*out = s;
	return ARES_SUCCESS;
}

int
ares_set_servers_ports(ares_channel s, struct ares_addr_port_node *to)
{
	return ARES_SUCCESS;
}

/* It takes its flag back when it likes. */
int
ares_save_options(ares_channel s, struct ares_options *out, int *mask)
{
	*out = s->options;
	*mask = 0;
	if (chance(1))
		s->options.flags &= ~ARES_FLAG_EDNS;
	return ARES_SUCCESS;
}

void
ares_destroy_options(struct ares_options *o)
{
}

void
ares_free_string(void *p)
{
	free(p);
}

int
ares_create_query(const char *name, int class, int type, unsigned short id,
    int rd, unsigned char **out, int *len, int udp)
{
	unsigned char *p = calloc(1, strlen(name) + 18 + OPT), *at;
	struct hb_span rest = hb_span_str(strcmp(name, ".") != 0 ? name : "");

	assert_non_null(p);
	p[2] = (unsigned char)rd;
	p[5] = 1;
	at = p + 12;
	while (rest.n > 0) {
		struct hb_span label = hb_span_cut(&rest, '.');

		*at++ = (unsigned char)label.n;
		memcpy(at, label.p, label.n);
		at += label.n;
	}
	*at++ = 0;
	*at++ = 0;
	*at++ = (unsigned char)type;
	*at++ = 0;
	*at++ = (unsigned char)class;
	if (udp > 0) {
		p[11] = 1;
		at[2] = 41;
		at += OPT;
	}
	*out = p;
	*len = (int)(at - p);
	return ARES_SUCCESS;
}

static void
set_open(struct ares_channeldata *s, bool open)
{
	if (s->open == open)
		return;
	s->open = open;
	s->options.sock_state_cb(s->options.sock_state_cb_data, s->fd, open, 0);
}

static struct sent *
new_sent(void)
{
	for (size_t i = 0; i < SENT; i++)
		if (w.sent[i].to == NULL)
			return &w.sent[i];
	lost("too many packets");
}

void
ares_send(ares_channel s, const unsigned char *packet, int len,
    ares_callback cb, void *arg)
{
	struct sent *q;

	if (chance(w.trouble / 2)) { /* no socket, no route */
		cb(arg, ARES_ECONNREFUSED, 0, NULL, 0);
		return;
	}
	q = new_sent();
	*q = (struct sent){ .to = s,
		.cb = cb,
		.arg = arg,
		.until = w.now + TRY_MS,
		.len = len };
	assert_true((size_t)len <= sizeof(q->packet));
	memcpy(q->packet, packet, (size_t)len);
	if (!s->deaf && !chance(w.trouble))
		q->answer_at = w.now + 1 + roll(chance(90) ? 60 : TRY_MS * 2);
	set_open(s, true);
}

/* Ends Q with an answer, or by STATUS without. */
static void
end_sent(struct sent *q, int status)
{
	static const unsigned char address[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0,
		1, 0, 4, 127, 0, 0, 1 };
	unsigned char reply[sizeof(q->packet) + sizeof(address)];
	bool opt = q->packet[11] > 0;
	size_t n = (size_t)q->len - (opt ? OPT : 0);
	struct sent mine = *q;

	q->to = NULL;
	if (status != ARES_SUCCESS) {
		mine.cb(mine.arg, status, 0, NULL, 0);
		return;
	}
	memcpy(reply, mine.packet, n);
	reply[2] |= 0x80;
	reply[11] = 0;
	if (opt && mine.to->old) {
		reply[3] = chance(50) ? 1 : 4; /* FORMERR, NOTIMP */
		mine.cb(mine.arg, ARES_SUCCESS, 0, reply, (int)n);
		return;
	}
	reply[3] = chance(w.trouble) ? 2 /* SERVFAIL */ : chance(30) ? 3 : 0;
	if (reply[3] == 0 && reply[n - 3] == HB_DNS_A) {
		reply[7] = 1;
		memcpy(reply + n, address, sizeof(address));
		n += sizeof(address);
	}
	mine.cb(mine.arg, ARES_SUCCESS, 0, reply, (int)n);
}

static void
end_all(struct ares_channeldata *s, int status)
{
	for (size_t i = 0; i < SENT; i++)
		if (w.sent[i].to == s)
			end_sent(&w.sent[i], status);
}

void
ares_process_fd(ares_channel s, ares_socket_t read_fd, ares_socket_t write_fd)
{
	if (read_fd != ARES_SOCKET_BAD && chance(w.trouble / 10)) {
		set_open(s, false); /* what was sent there is lost */
		end_all(s, ARES_ECONNREFUSED);
	}
	for (size_t i = 0; i < SENT; i++) {
		struct sent *q = &w.sent[i];

		if (q->to != s)
			continue;
		if (q->until <= w.now)
			end_sent(q, ARES_ETIMEOUT);
		else if (read_fd != ARES_SOCKET_BAD && q->answer_at != 0 &&
			 q->answer_at <= w.now)
			end_sent(q, ARES_SUCCESS);
	}
}

struct timeval *
ares_timeout(ares_channel s, struct timeval *most, struct timeval *out)
{
	int64_t until = INT64_MAX;

	assert_null(most);
	for (size_t i = 0; i < SENT; i++)
		if (w.sent[i].to == s && w.sent[i].until < until)
			until = w.sent[i].until;
	if (until == INT64_MAX)
		return NULL;
	if (until < w.now)
		until = w.now;
	out->tv_sec = (until - w.now) / 1000;
	out->tv_usec = (until - w.now) % 1000 * 1000;
	return out;
}

void
ares_destroy(ares_channel s)
{
	end_all(s, ARES_EDESTRUCTION);
	set_open(s, false);
}

/* --- what is asked --- */

static void act(void);

static void
on_answer(void *ctx, const struct hb_dns_answer *a)
{
	struct ask *k = ctx;

	if (!k->waiting)
		lost("an answer that is one too many");
	if (k->calling)
		lost("an answer inside of its question");
	k->waiting = k->used = false;
	answered++;
	failed += a->status == HB_DNS_TEMP;
	if (w.nested < NESTED && chance(30)) {
		w.nested++;
		act();
		w.nested--;
	}
}

static struct ask *
new_ask(void)
{
	size_t i = 0;

	while (w.asks[i].used)
		if (++i == ASKS)
			lost("too many questions");
	w.asks[i] = (struct ask){ .used = true,
		.waiting = true,
		.calling = true,
		.until = w.now + ASK_MS };
	return &w.asks[i];
}

static void
ask(void)
{
	static const enum hb_dns_type types[] = { HB_DNS_A, HB_DNS_MX };
	enum hb_dns_type type = types[roll(HB_ARRAY_LEN(types))];
	struct ask *k = new_ask();
	struct hb_dns_query *q;
	char name[32];

	snprintf(name, sizeof(name), "name%u.test", roll(NAMES));
	if (chance(10))
		q = hb_dns_probe(w.dns, roll(SERVERS + 1),
		    hb_span_str(chance(50) ? "." : name), type, on_answer, k);
	else
		q = hb_dns_ask(w.dns, hb_span_str(name), type, on_answer, k);
	k->calling = false;
	k->q = q;
}

/* One, or all at once, so that questions under way have nobody any more. */
static void
give_up(unsigned most)
{
	size_t first = roll(ASKS);

	for (size_t i = 0; i < ASKS && most > 0; i++) {
		struct ask *k = &w.asks[(first + i) % ASKS];

		if (!k->waiting || k->calling)
			continue;
		hb_dns_cancel(k->q);
		k->waiting = k->used = false;
		cancelled++;
		most--;
	}
}

static void
forget(void)
{
	const struct hb_dns_answer *a;
	char name[32];

	snprintf(name, sizeof(name), "name%u.test", roll(NAMES));
	a = hb_dns_cached(w.dns, hb_span_str(name), HB_DNS_A);
	if (a != NULL && a->status == HB_DNS_TEMP)
		lost("a failure that is kept");
	hb_dns_forget(w.dns, hb_span_str(name), HB_DNS_A);
	if (hb_dns_cached(w.dns, hb_span_str(name), HB_DNS_A) != NULL)
		lost("an answer that was to be forgotten");
}

static void
act(void)
{
	unsigned what = roll(100);

	if (what < 70)
		ask();
	else if (what < 84)
		give_up(1);
	else if (what < 86)
		give_up(ASKS);
	else if (what < 88) {
		w.servers[roll(SERVERS)].deaf = chance(50);
		w.servers[roll(SERVERS)].old = chance(50);
	} else if (what < 89 && w.nested == 0)
		for (int i = 0; i < 300; i++)
			ask();
	else
		forget();
}

/* --- the game --- */

static void
check_times(void)
{
	for (size_t i = 0; i < ASKS; i++)
		if (w.asks[i].waiting && w.asks[i].until < w.now)
			lost("a question without an answer");
}

static struct hb_timer *
next_timer(void)
{
	struct hb_timer *best = NULL;

	for (size_t i = 0; i < TIMERS; i++)
		if (w.timers[i].at != 0 &&
		    (best == NULL || w.timers[i].at < best->at))
			best = &w.timers[i];
	return best;
}

/* Only what somebody listens for. */
static struct sent *
next_answer(void)
{
	struct sent *best = NULL;

	for (size_t i = 0; i < SENT; i++) {
		struct sent *q = &w.sent[i];

		if (q->to != NULL && q->answer_at != 0 && q->to->open &&
		    (q->to->io.want & HB_IO_READ) != 0 &&
		    (best == NULL || q->answer_at < best->answer_at))
			best = q;
	}
	return best;
}

static void
pass(int64_t ms)
{
	int64_t end = w.now + ms;

	for (;;) {
		struct hb_timer *t = next_timer();
		struct sent *q = next_answer();
		int64_t at = q != NULL ? q->answer_at : INT64_MAX;

		if (t != NULL && t->at < at)
			at = t->at;
		if (at > end)
			break;
		w.now = at > w.now ? at : w.now;
		if (t != NULL && t->at == at) {
			t->at = 0;
			t->cb(t->ctx);
		} else {
			q->to->io.cb(q->to->io.ctx, HB_IO_READ);
		}
		end_turn();
	}
	w.now = end;
	check_times();
}

static size_t
count_waiting(void)
{
	size_t n = 0;

	for (size_t i = 0; i < ASKS; i++)
		n += w.asks[i].waiting;
	return n;
}

static void
play(unsigned long seed)
{
	struct hb_netaddr at[SERVERS];
	struct hb_conf conf = { .resolvers = { .v = at, .n = SERVERS } };
	struct hb_buf err = HB_BUF_INIT(0);

	memset(&w, 0, sizeof(w));
	w.seed = seed;
	dice_seed(seed);
	w.now = 1000;
	w.trouble = roll(4) * 20;
	for (unsigned i = 0; i < SERVERS; i++)
		at[i] = (struct hb_netaddr){ .family = 4,
			.b = { 127, 0, 0, 1 },
			.port = (uint16_t)(1000 + i) };
	w.dns = hb_dns_new(NULL, &conf, HB_SPAN_NONE, &err);
	assert_non_null(w.dns);
	for (int i = 0; i < 300; i++) {
		pass(roll(chance(80) ? 20 : 4000));
		act();
		end_turn();
	}
	w.nested = NESTED;
	if (seed % 2 == 0) { /* else some still wait when all is freed */
		pass(ASK_MS);
		assert_int_equal(count_waiting(), 0);
	}
	w.nested = 0;
	hb_dns_free(&w.dns);
	assert_int_equal(count_waiting(), 0);
}

static void
no_log(void *ctx, enum hb_level level, struct hb_span record)
{
}

static void
each_question_has_one_answer(void **state)
{
	unsigned long first = number_of("HB_RANDOM_FIRST", 0);
	unsigned long n = number_of("HB_RANDOM_SEEDS", 20);

	hb_log_set_sink(no_log, NULL);
	for (unsigned long i = 0; i < n; i++)
		play(first + i);
	assert_true(answered > 0 && cancelled > 0 && failed < answered);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_question_has_one_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
