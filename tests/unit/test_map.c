/* Maps: text, Berkeley DB, and the choice between them. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "common/io/map.h"
#include "common/io/trouble.h"

static char dir[] = "/tmp/hbmapXXXXXX";
static char file[256];

static void
write_file(const char *text, int age_s)
{
	struct timespec t[2];
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	clock_gettime(CLOCK_REALTIME, &t[0]);
	t[0].tv_sec -= age_s;
	t[1] = t[0];
	utimensat(AT_FDCWD, file, t, 0);
}

static void
assert_get(struct hb_map *m, const char *key, const char *want)
{
	struct hb_buf v = HB_BUF_INIT(0);
	int r = hb_map_get(m, hb_span_str(key), &v);

	assert_int_equal(r, want != NULL ? 0 : HB_E_NOTFOUND);
	if (want != NULL)
		assert_span(hb_buf_span(&v), want);
	hb_buf_free(&v);
}

static const char aliases[] = "# comment\n"
    "Root: joe,\n"
    "\tbob\n"
    "  # inside\n"
    "  carol\n"
    "\n"
    "\"quoted key\": \"|prog a,b\"\n"
    "root: second\n"
    "no colon here\n"
    "last: x";

static void
text_is_read_and_read_again(void **state)
{
	struct hb_mapspec spec = { HB_MAP_AUTO, file };
	struct hb_map *m;

	write_file(aliases, 100);
	m = hb_map_open(&spec, HB_MAPSYN_ALIASES);
	assert_get(m, "ROOT", "joe, bob carol");
	assert_get(m, "Quoted Key", "\"|prog a,b\"");
	assert_get(m, "last", "x");
	assert_get(m, "no colon here", NULL);
	assert_get(m, "", NULL);
	write_file("root: new\n", 50);
	assert_get(m, "root", "new");
	assert_get(m, "last", NULL);
	hb_map_close(&m);
}

static void
a_missing_file_is_temporary(void **state)
{
	struct hb_mapspec spec = { HB_MAP_TEXT, file };
	struct hb_map *m = hb_map_open(&spec, HB_MAPSYN_TABLE);
	struct hb_buf v = HB_BUF_INIT(0);

	unlink(file);
	assert_int_equal(hb_map_get(m, HB_SPAN("x"), &v), HB_E_TEMP);
	write_file("x 1\n", 0);
	assert_get(m, "x", "1");
	hb_map_close(&m);
}

static size_t begun, ended;

static void
count_trouble(void *ctx, enum hb_event ev, bool on, struct hb_span what,
    struct hb_span text)
{
	static bool going;

	assert_int_equal(ev, HB_EV_MAP);
	assert_span(what, file);
	begun += on && !going; /* else it has other words now */
	ended += !on;
	going = on;
}

/* Whatever becomes of the file: it is told once, nothing waits, and what it
 * said before counts. */
static void
test_S_4_a_map_that_cannot_be_read_is_told_once(void **state)
{
	struct hb_mapspec spec = { HB_MAP_TEXT, file };
	struct hb_map *m = hb_map_open(&spec, HB_MAPSYN_TABLE);
	struct hb_buf v = HB_BUF_INIT(0);

	hb_trouble_tell(count_trouble, NULL);
	write_file("", 0); /* never read before: nothing is known */
	assert_int_equal(hb_map_get(m, HB_SPAN("x"), &v), HB_E_TEMP);
	assert_int_equal(hb_map_get(m, HB_SPAN("x"), &v), HB_E_TEMP);
	assert_int_equal(begun, 1);
	write_file("x 1\n", 0);
	assert_get(m, "x", "1");
	assert_int_equal(ended, 1);
	for (int kind = 0; kind < 5; kind++) {
		unlink(file);
		if (kind == 1)
			assert_int_equal(mkdir(file, 0755), 0);
		else if (kind == 2)
			assert_int_equal(mkfifo(file, 0644), 0);
		else if (kind == 3)
			assert_int_equal(symlink("/nonexistent/x", file), 0);
		else if (kind == 4)
			write_file("", 5);
		assert_get(m, "x", "1");
		assert_get(m, "y", NULL);
		if (kind == 1)
			rmdir(file);
		assert_int_equal(begun, 2);
	}
	assert_int_equal(ended, 1);
	write_file("y 2\n", 0);
	assert_get(m, "y", "2");
	assert_int_equal(begun, 2);
	assert_int_equal(ended, 2);
	hb_trouble_tell(NULL, NULL);
	hb_map_close(&m);
	hb_buf_free(&v);
}

static void
count_row(void *ctx, struct hb_span key, struct hb_span value)
{
	++*(int *)ctx;
}

static void
a_built_map_is_used_when_newer(void **state)
{
	struct hb_mapspec spec = { HB_MAP_AUTO, file };
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_map *m;
	int rows = 0;

	write_file("a 1\n", 100);
	assert_int_equal(hb_map_build(file, HB_SPAN("A db\nb db2\n"),
	    HB_MAPSYN_TABLE, 0, NULL, &err), 2);
	m = hb_map_open(&spec, HB_MAPSYN_TABLE);
	assert_get(m, "a", "db");
	assert_get(m, "B", "db2");
	assert_get(m, "c", NULL);
	write_file("a text\n", -100);
	assert_get(m, "a", "text");
	/* an open map sees the file that replaced the one it has */
	write_file("a old\n", 100);
	assert_get(m, "a", "db");
	assert_int_equal(hb_map_build(file, HB_SPAN("a again\n"),
	    HB_MAPSYN_TABLE, 0, NULL, &err), 1);
	assert_get(m, "a", "again");
	assert_int_equal(hb_map_dump(file, count_row, &rows), 0);
	assert_int_equal(rows, 1);
	hb_map_close(&m);
	assert_int_equal(err.n, 0);
}

static void
mistakes_are_told_and_nothing_is_built(void **state)
{
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_mapspec spec = { HB_MAP_HASH, file };
	struct hb_map *m;

	assert_int_equal(hb_map_build(file, HB_SPAN("k v\n"), HB_MAPSYN_TABLE,
	    0, NULL, &err), 1);
	assert_int_equal(hb_map_build(file, HB_SPAN("a: 1\nA: 2\nb\n"),
	    HB_MAPSYN_ALIASES, 0, NULL, &err), HB_E_SYNTAX);
	hb_buf_add(&err, hb_span("", 1));
	assert_non_null(strstr((char *)err.p, ":2: exists"));
	assert_non_null(strstr((char *)err.p, ":3: malformed"));
	m = hb_map_open(&spec, HB_MAPSYN_ALIASES);
	assert_get(m, "k", "v");
	hb_map_close(&m);
	hb_buf_free(&err);
}

static void
alias_targets_are_cut(void **state)
{
	static const char *const want[] = { "joe", "|prog \"a, b\" c", "/file",
		"bob@x", "odd \\ name" };
	struct hb_span rest = at_page_end(HB_SPAN(" joe,, \"|prog \\\"a, b\\\" c\","
	    "/file , bob@x,\"odd \\\\ name\","));
	struct hb_buf out = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(want); i++) {
		assert_int_equal(hb_alias_next(&rest, &out), 1);
		assert_span(hb_buf_span(&out), want[i]);
	}
	assert_int_equal(hb_alias_next(&rest, &out), 0);
	rest = HB_SPAN("a, \"b");
	assert_int_equal(hb_alias_next(&rest, &out), 1);
	assert_int_equal(hb_alias_next(&rest, &out), HB_E_SYNTAX);
	hb_buf_free(&out);
}

static void
test_F_13_comments_and_quotes_of_targets(void **state)
{
	static const char *const want[] = { "Ann Lee <ann@x>",
		"bob (at home, mostly)", "\"Last, First\" <c@x>",
		"|\"/bin/x -y, z\"", "(odd", "\"a\" \"b\"" };
	struct hb_span rest = at_page_end(HB_SPAN("Ann Lee <ann@x>,"
	    "bob (at home, mostly), \"Last, First\" <c@x>,"
	    "|\"/bin/x -y, z\", (odd, \"a\" \"b\""));
	struct hb_buf out = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(want); i++) {
		assert_int_equal(hb_alias_next(&rest, &out), 1);
		assert_span(hb_buf_span(&out), want[i]);
	}
	assert_int_equal(hb_alias_next(&rest, &out), 0);
	hb_buf_free(&out);
}

/* The first key of a file is found whatever editor wrote it. */
static void
test_F_24_a_byte_order_mark(void **state)
{
	struct hb_mapspec spec = { HB_MAP_TEXT, file };
	struct hb_map *m;

	write_file("\xef\xbb\xbf" "ann: lee\nbob: ray\n", 0);
	m = hb_map_open(&spec, HB_MAPSYN_ALIASES);
	assert_get(m, "ann", "lee");
	assert_get(m, "bob", "ray");
	hb_map_close(&m);
}

static int
make_dir(void **state)
{
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(file, sizeof(file), "%s/map", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	char db[300];

	snprintf(db, sizeof(db), "%s.db", file);
	unlink(db);
	unlink(file);
	return rmdir(dir);
}

/* The operator hears where an entry stands; a file that changes does not count
 * between two keys of one question. */
static void
test_M_12_an_entry_has_a_line(void **state)
{
	struct hb_buf value = HB_BUF_INIT(0), err = HB_BUF_INIT(0);
	struct hb_mapspec spec = { HB_MAP_AUTO, file };
	struct hb_map *m = hb_map_open(&spec, HB_MAPSYN_TABLE);
	struct hb_map_place at;
	char db[300];

	snprintf(db, sizeof(db), "%s.db", file);
	assert_int_equal(hb_map_find(m, HB_SPAN("a"), &value, &at),
	    HB_E_TEMP);
	write_file("# c\na x\n\nB y\n  z\nc w\n", 100);
	assert_int_not_equal(hb_map_version(m), 0);
	assert_int_equal(hb_map_find(m, HB_SPAN("b"), &value, &at), 0);
	assert_string_equal(at.file, file);
	assert_int_equal(at.line, 4);
	assert_int_equal(hb_map_find(m, HB_SPAN("C"), &value, &at), 0);
	assert_int_equal(at.line, 6);
	write_file("c v\n", 50);
	assert_int_equal(hb_map_find(m, HB_SPAN("a"), &value, &at), 0);
	assert_int_not_equal(hb_map_version(m), 0);
	assert_int_equal(hb_map_find(m, HB_SPAN("a"), &value, &at),
	    HB_E_NOTFOUND);
	assert_int_equal(hb_map_build(file, HB_SPAN("a q\n"),
	    HB_MAPSYN_TABLE, 0, NULL, &err), 1);
	assert_int_not_equal(hb_map_version(m), 0);
	assert_int_equal(hb_map_find(m, HB_SPAN("a"), &value, &at), 0);
	assert_string_equal(at.file, db);
	assert_int_equal(at.line, 0);
	unlink(db);
	hb_map_close(&m);
	hb_buf_free(&value);
	hb_buf_free(&err);
}

/* Lookups do not wait for a long file that changed: the old entries count
 * until all of it is read, slice by slice. */
static void
test_A_2_a_long_file_that_changed_is_read_in_slices(void **state)
{
	struct hb_buf text = HB_BUF_INIT(0), value = HB_BUF_INIT(0);
	struct hb_mapspec spec = { HB_MAP_TEXT, file };
	struct hb_map *m;
	int slices = 1;

	write_file("old: a\n", 100);
	m = hb_map_open(&spec, HB_MAPSYN_ALIASES);
	assert_int_equal(hb_map_get(m, HB_SPAN("old"), &value), 0);
	assert_false(hb_map_is_reading(m));
	for (int i = 0; i < 100000; i++)
		hb_buf_addf(&text, "a%d: b\n", i);
	hb_buf_add(&text, hb_span("", 1));
	write_file((const char *)text.p, 50);
	assert_int_equal(hb_map_get(m, HB_SPAN("old"), &value), 0);
	assert_true(hb_map_is_reading(m));
	while (hb_map_read_on(m)) {
		assert_int_equal(hb_map_get(m, HB_SPAN("old"), &value), 0);
		slices++;
	}
	assert_true(slices > 50);
	assert_int_equal(hb_map_get(m, HB_SPAN("a99999"), &value), 0);
	assert_int_equal(hb_map_get(m, HB_SPAN("old"), &value),
	    HB_E_NOTFOUND);
	/* one that changes while it is read */
	write_file((const char *)text.p, 40);
	assert_int_equal(hb_map_get(m, HB_SPAN("a1"), &value), 0);
	assert_true(hb_map_is_reading(m));
	write_file("new: a\n", 30);
	assert_int_equal(hb_map_get(m, HB_SPAN("new"), &value), 0);
	assert_false(hb_map_is_reading(m));
	hb_map_close(&m);
	hb_buf_free(&text);
	hb_buf_free(&value);
}

/* The file changes again in all ways while a long version is being read. */
static void
test_A_2_S_4_trouble_while_a_long_file_is_read(void **state)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_mapspec spec = { HB_MAP_TEXT, file };
	char aside[300];
	struct hb_map *m;

	begun = 0;
	hb_trouble_tell(count_trouble, NULL);
	snprintf(aside, sizeof(aside), "%s.old", file);
	write_file("old: a\n", 100);
	m = hb_map_open(&spec, HB_MAPSYN_ALIASES);
	assert_get(m, "old", "a");
	for (int i = 0; i < 100000; i++)
		hb_buf_addf(&text, "a%d: b\n", i);
	hb_buf_add(&text, hb_span("", 1));
	/* the one before is back: the long one never counts */
	assert_int_equal(rename(file, aside), 0);
	write_file((const char *)text.p, 50);
	assert_get(m, "old", "a");
	assert_true(hb_map_is_reading(m));
	assert_int_equal(rename(aside, file), 0);
	assert_get(m, "old", "a");
	assert_false(hb_map_is_reading(m));
	/* it goes away: what was read of it by then is all of it */
	write_file((const char *)text.p, 40);
	assert_get(m, "old", "a");
	assert_true(hb_map_is_reading(m));
	unlink(file);
	assert_get(m, "old", "a");
	assert_int_equal(begun, 1);
	while (hb_map_read_on(m))
		assert_get(m, "old", "a");
	assert_get(m, "a99999", "b");
	/* an empty one in its place is of no use, and ends the reading */
	write_file("old: a\n", 30);
	assert_get(m, "old", "a");
	write_file((const char *)text.p, 20);
	assert_get(m, "old", "a");
	assert_true(hb_map_is_reading(m));
	write_file("", 10);
	assert_get(m, "old", "a");
	assert_false(hb_map_is_reading(m));
	assert_int_equal(begun, 2);
	hb_trouble_tell(NULL, NULL);
	hb_map_close(&m);
	hb_buf_free(&text);
}

static void
test_F_18_good_aliases_are_built(void **state)
{
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_mapspec spec = { HB_MAP_HASH, file };
	struct hb_map *m;
	unsigned bad = 9;

	assert_int_equal(hb_map_build(file, HB_SPAN("a: 1\nA: 2\nb: 3\n"),
	    HB_MAPSYN_ALIASES, HB_MAP_SKIP, &bad, &err), 2);
	assert_int_equal(bad, 0);
	hb_buf_add(&err, hb_span("", 1));
	assert_non_null(strstr((char *)err.p, ":2: warning: 'A'"));
	hb_buf_clear(&err);
	assert_int_equal(hb_map_build(file, HB_SPAN("a: 1\nb\nc: \"x\nd:\n"
		"e: 5\n"), HB_MAPSYN_ALIASES, HB_MAP_SKIP, &bad, &err), 2);
	assert_int_equal(bad, 3);
	hb_buf_add(&err, hb_span("", 1));
	assert_non_null(strstr((char *)err.p, ":2: malformed"));
	assert_non_null(strstr((char *)err.p, ":3: malformed"));
	assert_non_null(strstr((char *)err.p, ":4: malformed"));
	m = hb_map_open(&spec, HB_MAPSYN_ALIASES);
	assert_get(m, "a", "1");
	assert_get(m, "c", NULL);
	assert_get(m, "e", "5");
	/* with nothing good the old one stays */
	assert_int_equal(hb_map_build(file, HB_SPAN("b\n"),
	    HB_MAPSYN_ALIASES, HB_MAP_SKIP, &bad, &err), HB_E_SYNTAX);
	assert_get(m, "a", "1");
	hb_map_close(&m);
	hb_buf_free(&err);
}

static void
join_row(void *ctx, struct hb_span key, struct hb_span value)
{
	hb_buf_add(ctx, key);
	hb_buf_adds(ctx, "=");
	hb_buf_add(ctx, value);
	hb_buf_adds(ctx, "|");
}

/* As sendmail's newaliases leaves them. */
static void
test_E_6_a_nul_is_no_part_of_an_entry(void **state)
{
	struct hb_buf err = HB_BUF_INIT(0), rows = HB_BUF_INIT(0);

	assert_int_equal(hb_map_build(file, HB_SPAN("a\0 b\0\n"),
	    HB_MAPSYN_TABLE, 0, NULL, &err), 1);
	assert_int_equal(hb_map_dump(file, join_row, &rows), 0);
	assert_span(hb_buf_span(&rows), "a=b|");
	hb_buf_free(&rows);
	hb_buf_free(&err);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_read_and_read_again),
		cmocka_unit_test(a_missing_file_is_temporary),
		cmocka_unit_test(
		    test_S_4_a_map_that_cannot_be_read_is_told_once),
		cmocka_unit_test(test_M_12_an_entry_has_a_line),
		cmocka_unit_test(a_built_map_is_used_when_newer),
		cmocka_unit_test(mistakes_are_told_and_nothing_is_built),
		cmocka_unit_test(test_F_18_good_aliases_are_built),
		cmocka_unit_test(test_E_6_a_nul_is_no_part_of_an_entry),
		cmocka_unit_test(alias_targets_are_cut),
		cmocka_unit_test(test_F_13_comments_and_quotes_of_targets),
		cmocka_unit_test(test_F_24_a_byte_order_mark),
		cmocka_unit_test(test_A_2_a_long_file_that_changed_is_read_in_slices),
		cmocka_unit_test(
		    test_A_2_S_4_trouble_while_a_long_file_is_read),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
