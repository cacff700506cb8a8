/*
 * Entries that are kept, and who waits for them; then games with dice against
 * a model that is a plain list.
 */
#include "tests/unit/unit.h"

#include "common/base/memo.h"
#include "tests/unit/dice.h"

struct item {
	struct hb_memo_entry memo; /* first */
	bool pinned;
	char name[8];
};
struct waiter {
	struct hb_wait wait; /* first */
	int number;
};

static char freed[64]; /* names, in order */

static void
free_item(struct hb_memo_entry *e)
{
	struct item *i = (struct item *)e;
	size_t n = strlen(freed);

	snprintf(freed + n, sizeof(freed) - n, "%s", i->name);
	free(i);
}

static bool
is_pinned(const struct hb_memo_entry *e)
{
	return ((const struct item *)e)->pinned;
}

static struct item *
add(struct hb_memo *m, const char *name, size_t size)
{
	struct item *i = HB_NEW(struct item);

	snprintf(i->name, sizeof(i->name), "%s", name);
	hb_memo_add(m, &i->memo, hb_span_str(i->name), size);
	return i;
}

static struct item *
find(struct hb_memo *m, const char *name)
{
	return (struct item *)hb_memo_find(m, hb_span_str(name));
}

static int
begin(void **state)
{
	freed[0] = '\0';
	return 0;
}

static void
the_least_recently_used_goes_first(void **state)
{
	static const struct {
		const char *what; /* a-z: added; A-Z: found, as a-z */
		size_t max, max_size;
		const char *gone;
	} rows[] = {
		{ "abc", 3, 0, "" },
		{ "abcd", 3, 0, "a" },
		{ "abcAd", 3, 0, "b" },
		{ "abcABCdef", 3, 0, "abc" },
		{ "abcCBAdef", 3, 0, "cba" },
		{ "aAAb", 1, 0, "a" },
		{ "abcdef", 0, 0, "" },
		/* each has ten octets */
		{ "abcd", 0, 30, "a" },
		{ "abcdAe", 0, 40, "b" },
		{ "abc", 2, 5, "ab" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_memo m = { .max = rows[i].max,
			.max_size = rows[i].max_size, .free = free_item };

		begin(state);
		for (const char *p = rows[i].what; *p != '\0'; p++) {
			char name[] = { (char)(*p | 0x20), '\0' };

			if (*p >= 'a')
				add(&m, name, 10);
			else
				assert_non_null(find(&m, name));
		}
		assert_string_equal(freed, rows[i].gone);
		hb_memo_clear(&m);
		assert_int_equal(hb_memo_count(&m), 0);
		assert_int_equal(m.size, 0);
	}
}

static void
what_must_stay_is_passed_over(void **state)
{
	struct hb_memo m = { .max = 2, .must_stay = is_pinned,
		.free = free_item };
	struct waiter w;

	add(&m, "a", 1)->pinned = true;
	hb_waits_add(&add(&m, "b", 1)->memo.waits, &w.wait);
	add(&m, "c", 1); /* above the bound: nothing can go */
	assert_string_equal(freed, "");
	assert_int_equal(hb_memo_count(&m), 3);
	hb_waits_remove(&w.wait);
	add(&m, "d", 1);
	assert_string_equal(freed, "bc");
	find(&m, "a")->pinned = false;
	find(&m, "d");
	add(&m, "e", 1);
	assert_string_equal(freed, "bca");
	hb_memo_clear(&m);
}

static void
sizes_change(void **state)
{
	struct hb_memo m = { .max_size = 100, .free = free_item };
	struct item *a = add(&m, "a", 10);

	hb_memo_resize(&m, &a->memo, 90);
	add(&m, "b", 10);
	assert_int_equal(m.size, 100);
	hb_memo_resize(&m, &a->memo, 0);
	assert_int_equal(m.size, 10);
	add(&m, "c", 90);
	assert_string_equal(freed, "");
	hb_memo_drop(&m, &find(&m, "b")->memo);
	assert_null(find(&m, "b"));
	assert_int_equal(m.size, 90);
	hb_memo_clear(&m);
	assert_string_equal(freed, "bac");
}

static void
expect_waits(struct hb_wait *list, const char *numbers)
{
	char got[16] = "";
	size_t n = 0;

	for (struct hb_wait *w = list->next; w != list; w = w->next)
		got[n++] = (char)('0' + ((struct waiter *)w)->number);
	assert_string_equal(got, numbers);
}

static void
who_came_first_is_first(void **state)
{
	struct waiter w[5];
	struct hb_wait a, b;

	hb_waits_init(&a);
	hb_waits_init(&b);
	assert_null(hb_waits_first(&a));
	for (int i = 0; i < 5; i++) {
		w[i].number = i;
		hb_waits_add(i < 3 ? &a : &b, &w[i].wait);
	}
	assert_ptr_equal(hb_waits_first(&a), &w[0].wait);
	hb_waits_remove(&w[1].wait);
	hb_waits_remove(&w[1].wait);
	expect_waits(&a, "02");
	hb_waits_move(&b, &a);
	expect_waits(&a, "");
	expect_waits(&b, "3402");
	hb_waits_move(&b, &a);
	expect_waits(&b, "3402");
	/* a list that one of them leaves after the move */
	hb_waits_remove(&w[2].wait);
	hb_waits_remove(&w[3].wait);
	expect_waits(&b, "40");
}

static struct {
	struct hb_wait list;
	struct waiter w[4];
	char seen[8];
} all;

/* The first takes the second out and puts itself and another at the end. */
static void
on_each(struct hb_wait *w, const void *arg)
{
	size_t n = strlen(all.seen);

	assert_ptr_equal(arg, &all);
	all.seen[n] = (char)('0' + ((struct waiter *)w)->number);
	if (n > 0)
		return;
	hb_waits_remove(&all.w[1].wait);
	hb_waits_add(&all.list, w);
	hb_waits_add(&all.list, &all.w[3].wait);
}

static void
each_is_told_once(void **state)
{
	hb_waits_init(&all.list);
	for (int i = 0; i < 4; i++) {
		all.w[i].number = i;
		if (i < 3)
			hb_waits_add(&all.list, &all.w[i].wait);
	}
	hb_waits_each(&all.list, on_each, &all);
	assert_string_equal(all.seen, "02");
	expect_waits(&all.list, "03");
}

/* --- games --- */

enum { NAMES = 40, MAX = 12, MAX_SIZE = 60 };

/* In order of use, the oldest first. */
static struct {
	struct {
		int name;
		size_t size;
		bool pinned;
	} v[NAMES];
	size_t n, size;
} model;

static size_t
model_find(int name)
{
	size_t i = 0;

	while (i < model.n && model.v[i].name != name)
		i++;
	return i;
}

static void
model_remove(size_t i)
{
	model.size -= model.v[i].size;
	model.n--;
	memmove(&model.v[i], &model.v[i + 1],
	    (model.n - i) * sizeof(model.v[0]));
}

static void
model_add(int name, size_t size, bool pinned)
{
	model.v[model.n].name = name;
	model.v[model.n].size = size;
	model.v[model.n++].pinned = pinned;
	model.size += size;
}

static void
model_use(size_t i)
{
	int name = model.v[i].name;
	size_t size = model.v[i].size;
	bool pinned = model.v[i].pinned;

	model_remove(i);
	model_add(name, size, pinned);
}

static void
model_make_room(void)
{
	int stay = 0;

	while (model.n > 0 && stay < 64 &&
	    (model.n >= MAX || model.size >= MAX_SIZE)) {
		if (model.v[0].pinned) {
			model_use(0);
			stay++;
		} else {
			model_remove(0);
		}
	}
}

static void
free_quietly(struct hb_memo_entry *e)
{
	free(e);
}

static void
compare(struct hb_memo *m)
{
	struct hb_wait *at = &m->order;

	assert_int_equal(hb_memo_count(m), model.n);
	assert_int_equal(m->size, model.size);
	for (size_t i = 0; i < model.n; i++) {
		char name[8];

		at = at->next;
		snprintf(name, sizeof(name), "n%d", model.v[i].name);
		assert_span(((struct hb_memo_entry *)(void *)((char *)at -
		    offsetof(struct hb_memo_entry, used)))->key, name);
	}
	assert_true(model.n == 0 || at->next == &m->order);
}

static void
turn(struct hb_memo *m)
{
	int number = (int)roll(NAMES);
	size_t at = model_find(number), size = roll(20);
	struct item *i;
	char name[8];

	snprintf(name, sizeof(name), "n%d", number);
	i = find(m, name);
	assert_int_equal(i != NULL, at < model.n);
	if (i == NULL) {
		bool pinned = chance(20);

		model_make_room();
		model_add(number, size, pinned);
		add(m, name, size)->pinned = pinned;
		return;
	}
	model_use(at);
	at = model.n - 1;
	if (chance(20)) {
		model_remove(at);
		hb_memo_drop(m, &i->memo);
	} else if (chance(30)) {
		model.size += size - model.v[at].size;
		model.v[at].size = size;
		hb_memo_resize(m, &i->memo, size);
	} else if (chance(30)) {
		i->pinned = model.v[at].pinned = !i->pinned;
	}
}

static void
it_does_what_a_list_does(void **state)
{
	unsigned long first = number_of("HB_RANDOM_FIRST", 0);
	unsigned long n = number_of("HB_RANDOM_SEEDS", 50);

	for (unsigned long seed = first; seed < first + n; seed++) {
		struct hb_memo m = { .max = MAX, .max_size = MAX_SIZE,
			.must_stay = is_pinned, .free = free_quietly };

		dice_seed(seed);
		memset(&model, 0, sizeof(model));
		for (int i = 0; i < 500; i++) {
			turn(&m);
			compare(&m);
		}
		hb_memo_clear(&m);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_least_recently_used_goes_first,
		    begin),
		cmocka_unit_test_setup(what_must_stay_is_passed_over, begin),
		cmocka_unit_test_setup(sizes_change, begin),
		cmocka_unit_test(who_came_first_is_first),
		cmocka_unit_test(each_is_told_once),
		cmocka_unit_test(it_does_what_a_list_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
