/* What the store promises, whatever is behind it. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "queue/spool/store.h"

struct fix {
	char dir[64];
	struct hb_loop *loop;
	struct q_flush *flush;
	struct q_store *store;
	struct hb_timer *guard;
	int waiting, err;
	struct hb_buf rows;
};

static void
open_store(struct fix *f)
{
	struct hb_buf err = HB_BUF_INIT(0);

	f->flush = q_flush_new(f->loop);
	f->store = q_store_open(f->loop, f->flush, f->dir, &err);
	assert_non_null(f->store);
	hb_buf_free(&err);
}

static void
close_store(struct fix *f)
{
	q_store_close(&f->store);
	q_flush_free(&f->flush);
}

static void
stuck(void *ctx)
{
	fail_msg("a callback is missing");
}

static int
setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/hb-store-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	f->loop = hb_loop_new();
	f->guard = hb_timer_new(f->loop, stuck, f);
	open_store(f);
	*state = f;
	return 0;
}

/* Removes what is in PATH, one level of folders deep, and PATH. */
static void
remove_tree(const char *path, int depth)
{
	char sub[600];
	struct dirent *e;
	DIR *d = opendir(path);

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		if (unlink(sub) < 0 && depth > 0)
			remove_tree(sub, depth - 1);
	}
	closedir(d);
	rmdir(path);
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	close_store(f);
	hb_timer_free(&f->guard);
	hb_loop_free(&f->loop);
	remove_tree(f->dir, 2);
	hb_buf_free(&f->rows);
	free(f);
	return 0;
}

static void
on_done(void *ctx, int err)
{
	struct fix *f = ctx;

	f->err = err;
	if (--f->waiting == 0)
		hb_loop_stop(f->loop);
}

static void
put(struct fix *f, const char *key, const char *value, bool lazy)
{
	f->waiting++;
	q_store_put(f->store, HB_TABLE_POLICY, hb_span_str(key),
	    hb_span_str(value), lazy, on_done, f);
}

static void
wait_all(struct fix *f)
{
	hb_timer_set(f->guard, 20000);
	while (f->waiting > 0)
		assert_int_equal(hb_loop_run(f->loop), 0);
	hb_timer_clear(f->guard);
	assert_int_equal(f->err, 0);
}

static void
holds(struct fix *f, const char *key, const char *want)
{
	struct hb_buf value = HB_BUF_INIT(0);
	int r = q_store_get(f->store, HB_TABLE_POLICY, hb_span_str(key),
	    &value);

	assert_int_equal(r, want != NULL ? 0 : HB_E_NOTFOUND);
	if (want != NULL)
		assert_span(hb_buf_span(&value), want);
	hb_buf_free(&value);
}

static void
on_row(void *ctx, struct hb_span key, struct hb_span value)
{
	struct fix *f = ctx;

	hb_buf_addf(&f->rows, "%.*s=%.*s;", HB_SPAN_ARG(key),
	    HB_SPAN_ARG(value));
}

static void
values_survive_a_restart(void **state)
{
	struct fix *f = *state;

	holds(f, "a.example", NULL);
	put(f, "a.example", "one", false);
	put(f, "b.example", "two", false);
	put(f, "b.example", "three", false);
	put(f, "c.example", "gone", false);
	put(f, "c.example", "", false);
	put(f, "never.example", "", false);
	assert_int_equal(f->waiting, 6); /* never inside the call */
	wait_all(f);
	for (int i = 0; i < 2; i++) {
		holds(f, "a.example", "one");
		holds(f, "b.example", "three");
		holds(f, "c.example", NULL);
		close_store(f);
		open_store(f);
	}
}

static void
tables_are_apart(void **state)
{
	struct fix *f = *state;
	struct hb_buf value = HB_BUF_INIT(0);

	put(f, "k", "v", false);
	wait_all(f);
	for (int t = 0; t < HB_TABLE_COUNT; t++)
		assert_int_equal(q_store_get(f->store, t, HB_SPAN("k"),
		    &value), t == HB_TABLE_POLICY ? 0 : HB_E_NOTFOUND);
	hb_buf_free(&value);
}

static void
rows_come_in_key_order(void **state)
{
	struct fix *f = *state;

	put(f, "b", "2", false);
	put(f, "c", "3", false);
	put(f, "a", "1", false);
	wait_all(f);
	assert_int_equal(q_store_list(f->store, HB_TABLE_POLICY, HB_SPAN_NONE,
	    2, on_row, f), 2);
	assert_span(hb_buf_span(&f->rows), "a=1;b=2;");
	hb_buf_clear(&f->rows);
	assert_int_equal(q_store_list(f->store, HB_TABLE_POLICY, HB_SPAN("b"),
	    9, on_row, f), 1);
	assert_span(hb_buf_span(&f->rows), "c=3;");
	assert_int_equal(q_store_list(f->store, HB_TABLE_POLICY, HB_SPAN("c"),
	    9, on_row, f), 0);
	hb_buf_clear(&f->rows);
	assert_int_equal(q_store_list(f->store, HB_TABLE_POLICY, HB_SPAN("aa"),
	    1, on_row, f), 1);
	assert_span(hb_buf_span(&f->rows), "b=2;");
}

/* However many are asked for: the channel to who asked is bounded. */
static void
long_rows_come_a_few_at_a_time(void **state)
{
	struct fix *f = *state;
	static char big[60001];
	char key[8] = "";
	int rounds = 0, r;

	memset(big, 'v', sizeof(big) - 1);
	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "k%02d", i);
		put(f, key, big, true);
	}
	key[0] = '\0';
	do {
		hb_buf_clear(&f->rows);
		r = q_store_list(f->store, HB_TABLE_POLICY, hb_span_str(key),
		    100, on_row, f);
		assert_in_range(f->rows.n, 60000, (1 << 20) + 60100);
		memcpy(key, f->rows.p + f->rows.off + f->rows.n - 60005, 3);
		rounds++;
	} while (r == HB_E_LIMIT);
	assert_int_equal(rounds, 3);
	assert_string_equal(key, "k49");
	wait_all(f);
}

static void
a_large_value_comes_back(void **state)
{
	struct fix *f = *state;
	char *big = malloc(100001);

	memset(big, 'v', 100000);
	big[100000] = '\0';
	put(f, "big", big, false);
	wait_all(f);
	close_store(f);
	open_store(f);
	holds(f, "big", big);
	free(big);
}

static void
lazy_values_are_kept_at_a_clean_end(void **state)
{
	struct fix *f = *state;

	put(f, "lazy", "x", true);
	close_store(f);
	assert_int_equal(f->waiting, 0);
	open_store(f);
	holds(f, "lazy", "x");
}

/* A process that dies does not take durable values with it: the environment
 * is copied while it is in use. */
static void
copy_files(const char *from, const char *to)
{
	static char bytes[4 << 20];
	char a[600], b[600];
	struct dirent *e;
	DIR *d = opendir(from);

	while ((e = readdir(d)) != NULL) {
		int in, out;
		ssize_t n;

		if (e->d_name[0] == '.')
			continue;
		snprintf(a, sizeof(a), "%s/%s", from, e->d_name);
		snprintf(b, sizeof(b), "%s/%s", to, e->d_name);
		in = open(a, O_RDONLY);
		out = open(b, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		n = read(in, bytes, sizeof(bytes));
		assert_int_equal(write(out, bytes, (size_t)n), n);
		close(in);
		close(out);
	}
	closedir(d);
}

static void
recovery_brings_back_what_was_durable(void **state)
{
	struct fix *f = *state;
	char home[80], copy[96], sub[120];

	put(f, "a.example", "one", false);
	wait_all(f);
	snprintf(home, sizeof(home), "%s/store", f->dir);
	snprintf(copy, sizeof(copy), "%s/copy", f->dir);
	snprintf(sub, sizeof(sub), "%s/store", copy);
	assert_int_equal(mkdir(copy, 0700), 0);
	assert_int_equal(mkdir(sub, 0700), 0);
	copy_files(home, sub);
	close_store(f);
	remove_tree(home, 0);
	assert_int_equal(rename(sub, home), 0);
	open_store(f);
	holds(f, "a.example", "one");
}

static int
count_broken(struct fix *f)
{
	DIR *d = opendir(f->dir);
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d)) != NULL)
		n += strncmp(e->d_name, "store.broken-", 13) == 0;
	closedir(d);
	return n;
}

static void
spoil(const char *dir, const char *name)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/store/%s", dir, name);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	for (off_t at = 0; at < 8192; at += 64)
		assert_int_equal(pwrite(fd, "spoiled by the test", 19, at), 19);
	close(fd);
}

static void
a_broken_store_is_set_aside(void **state)
{
	struct fix *f = *state;

	put(f, "a.example", "one", false);
	wait_all(f);
	close_store(f);
	spoil(f->dir, "policy.db");
	open_store(f);
	assert_int_equal(count_broken(f), 1);
	holds(f, "a.example", NULL);
	put(f, "b.example", "two", false);
	wait_all(f);
	holds(f, "b.example", "two");
}

/* Many policies: the logs do not pile up. */
static void
old_logs_go(void **state)
{
	struct fix *f = *state;
	char value[2001], home[80];
	struct dirent *e;
	int logs = 0;
	DIR *d;

	memset(value, 'x', 2000);
	value[2000] = '\0';
	for (int i = 0; i < 5000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i % 50);
		put(f, key, value, false);
		if (i % 50 == 49)
			wait_all(f);
	}
	snprintf(home, sizeof(home), "%s/store", f->dir);
	d = opendir(home);
	while ((e = readdir(d)) != NULL)
		logs += strncmp(e->d_name, "log.", 4) == 0;
	closedir(d);
	assert_true(logs >= 1 && logs <= 4);
}

static void
no_log(void *ctx, enum hb_level level, struct hb_span record)
{
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(values_survive_a_restart),
		T(tables_are_apart),
		T(rows_come_in_key_order),
		T(long_rows_come_a_few_at_a_time),
		T(a_large_value_comes_back),
		T(lazy_values_are_kept_at_a_clean_end),
		T(recovery_brings_back_what_was_durable),
		T(a_broken_store_is_set_aside),
		T(old_logs_go),
	};

	hb_log_set_sink(no_log, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
