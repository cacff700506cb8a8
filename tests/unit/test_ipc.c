/* Frames between roles: every message survives a round trip, every damage is
 * an error and not a crash. */
#include "tests/unit/unit.h"

#include "common/proto/ipc.h"

static unsigned char filler[HB_MAX_IPC_FRAME];

/* Fills each field with a value within its bounds, bytes with those of TEXT
 * (5 of them). */
static void
fill_from(const struct hb_record *t, const unsigned char *text,
    unsigned char *msg)
{
	for (size_t i = 0; i < t->nfields; i++) {
		const struct hb_field *f = &t->fields[i];
		uint64_t v = f->max > 0 && f->max < 7 ? f->max : 7;
		uint32_t v32 = (uint32_t)v;
		struct hb_span s = hb_span(text,
		    f->max > 0 && f->max < 5 ? f->max : 5);

		if (f->type == HB_F_BYTES)
			memcpy(msg + f->offset, &s, sizeof(s));
		else if (f->type == HB_F_U32)
			memcpy(msg + f->offset, &v32, sizeof(v32));
		else
			memcpy(msg + f->offset, &v, sizeof(v));
	}
}

static void
fill(const struct hb_record *t, unsigned char *msg)
{
	fill_from(t, filler, msg);
}

static void
assert_same(const struct hb_record *t, const unsigned char *a,
    const unsigned char *b)
{
	for (size_t i = 0; i < t->nfields; i++) {
		const struct hb_field *f = &t->fields[i];
		struct hb_span x, y;

		if (f->type != HB_F_BYTES) {
			assert_memory_equal(a + f->offset, b + f->offset,
			    f->type == HB_F_U32 ? 4 : 8);
			continue;
		}
		memcpy(&x, a + f->offset, sizeof(x));
		memcpy(&y, b + f->offset, sizeof(y));
		assert_true(hb_span_eq(x, y));
	}
}

/* All that IN holds, and nothing that ends with it. */
static void
assert_copied(const struct hb_record *t)
{
	unsigned char *in = calloc(1, t->size), *text = calloc(1, 5),
		      *out = malloc(t->size), *want = calloc(1, t->size);
	struct hb_arena *a = hb_arena_new();

	fill(t, want);
	fill_from(t, text, in);
	hb_record_copy(a, t, in, out);
	memset(text, 'x', 5);
	memset(in, 'x', t->size);
	free(text);
	free(in);
	assert_same(t, want, out);
	hb_record_copy(a, t, out, out); /* in its place */
	assert_same(t, want, out);
	hb_arena_free(&a);
	free(out);
	free(want);
}

static void
every_field_of_a_record_is_copied(void **state)
{
	assert_copied(&hb_env_record);
	assert_copied(&hb_rcpt_record);
	assert_copied(&hb_outcome_record);
	for (unsigned t = 0; t < HB_IPC_COUNT; t++)
		assert_copied(&hb_ipc_info(t)->record);
}

/* An empty field keeps no pointer either. */
static void
a_copy_of_nothing_points_nowhere(void **state)
{
	struct hb_rcpt in = { .address = HB_SPAN("a@b"),
		.owner = hb_span("", 0) };
	struct hb_arena *a = hb_arena_new();
	struct hb_rcpt out;

	hb_record_copy(a, &hb_rcpt_record, &in, &out);
	assert_true(hb_span_eq(out.address, in.address));
	assert_ptr_not_equal(out.address.p, in.address.p);
	assert_null(out.owner.p);
	hb_arena_free(&a);
}

static void
every_message_round_trips(void **state)
{
	for (unsigned t = 0; t < HB_IPC_COUNT; t++) {
		const struct hb_ipc_info *info = hb_ipc_info(t);
		struct hb_buf b = HB_BUF_INIT(0);
		union hb_ipc_any in, out;
		enum hb_ipc_type type;

		memset(&in, 0, sizeof(in));
		fill(&info->record, (unsigned char *)&in);
		assert_int_equal(hb_ipc_encode(t, &in, &b), 0);
		for (size_t cut = 0; cut < b.n; cut++)
			assert_int_equal(hb_ipc_decode(at_page_end(hb_span_head(
			    hb_buf_span(&b), cut)), &type, &out), 0);
		assert_int_equal(hb_ipc_decode(at_page_end(hb_buf_span(&b)),
		    &type, &out), b.n);
		assert_int_equal(type, t);
		assert_same(&info->record, (unsigned char *)&in,
		    (unsigned char *)&out);
		hb_buf_free(&b);
	}
}

static void
every_tag_is_unique(void **state)
{
	for (unsigned t = 0; t < HB_IPC_COUNT; t++) {
		const struct hb_record *r = &hb_ipc_info(t)->record;

		for (size_t i = 0; i < r->nfields; i++)
			for (size_t j = 0; j < i; j++)
				assert_int_not_equal(r->fields[i].tag,
				    r->fields[j].tag);
	}
}

static void
every_message_has_an_allowed_pair(void **state)
{
	for (unsigned t = 0; t < HB_IPC_COUNT; t++) {
		unsigned pairs = 0;

		for (int a = 0; a < HB_ROLE_COUNT; a++)
			for (int b = 0; b < HB_ROLE_COUNT; b++)
				pairs += hb_ipc_may_send(t, a, b);
		assert_true(pairs > 0);
	}
	assert_false(hb_ipc_may_send(HB_IPC_TXN_BEGIN, HB_ROLE_DELIVERY,
	    HB_ROLE_QUEUE));
	assert_false(hb_ipc_may_send(HB_IPC_JOB, HB_ROLE_SMTPD,
	    HB_ROLE_DELIVERY));
	assert_false(hb_ipc_may_send(HB_IPC_COUNT, HB_ROLE_PARENT,
	    HB_ROLE_QUEUE));
}

/* Once more apart from the table: a row that gives more has to be meant. */
static void
roles_have_the_channels_of_the_design(void **state)
{
	static const enum hb_role pairs[][2] = {
		{ HB_ROLE_SMTPD, HB_ROLE_ROUTER },
		{ HB_ROLE_SMTPD, HB_ROLE_QUEUE },
		{ HB_ROLE_SMTPD, HB_ROLE_KEYAGENT },
		{ HB_ROLE_QUEUE, HB_ROLE_ROUTER },
		{ HB_ROLE_QUEUE, HB_ROLE_DELIVERY },
		{ HB_ROLE_DELIVERY, HB_ROLE_KEYAGENT },
		{ HB_ROLE_QUEUE, HB_ROLE_HELPER },
	};
	unsigned n = 0;

	for (size_t i = 0; i < HB_ARRAY_LEN(pairs); i++) {
		assert_true(hb_role_may_talk(pairs[i][0], pairs[i][1]));
		assert_true(hb_role_may_talk(pairs[i][1], pairs[i][0]));
	}
	for (enum hb_role a = HB_ROLE_PARENT + 1; a < HB_ROLE_HELPER; a++) {
		assert_true(hb_role_may_talk(HB_ROLE_PARENT, a));
		assert_int_equal(hb_role_may_talk(HB_ROLE_CONTROL, a),
		    a != HB_ROLE_CONTROL);
		for (enum hb_role b = a + 1; b <= HB_ROLE_HELPER; b++)
			n += a != HB_ROLE_CONTROL && b != HB_ROLE_CONTROL &&
			    hb_role_may_talk(a, b);
	}
	assert_int_equal(n, HB_ARRAY_LEN(pairs));
	assert_false(hb_role_may_talk(HB_ROLE_PARENT, HB_ROLE_HELPER));
	assert_false(hb_role_may_talk(HB_ROLE_CONTROL, HB_ROLE_HELPER));
}

/* Who is started has an account, a place in the stop and a rank; who is given
 * descriptors may be sent the frames that bring them. */
static void
rows_of_roles_agree_with_the_frames(void **state)
{
	static const struct {
		uint32_t gets;
		enum hb_ipc_type type;
	} frames[] = {
		{ HB_GETS_LISTENERS | HB_GETS_CONTROL, HB_IPC_LISTEN },
		{ HB_GETS_LISTENERS, HB_IPC_LISTEN_STOP },
		{ HB_GETS_COUNTERS, HB_IPC_COUNTERS },
		{ HB_GETS_CONTROL, HB_IPC_LOGREAD },
	};

	for (enum hb_role r = HB_ROLE_PARENT + 1; r < HB_ROLE_COUNT; r++) {
		const struct hb_role_info *info = hb_role_info(r);
		bool started = r != HB_ROLE_HELPER;

		assert_true(info->account[0] != '\0');
		assert_int_equal(info->stop_wave > 0, started);
		assert_int_equal(info->trust > 0, started);
		assert_int_equal(hb_role_may(r, HB_MAY_RUN), started);
		assert_true(info->files < 1u << HB_FILE_COUNT);
		for (size_t i = 0; i < HB_ARRAY_LEN(frames); i++)
			assert_int_equal(hb_role_gets(r, frames[i].gets),
			    hb_ipc_may_send(frames[i].type, HB_ROLE_PARENT, r));
	}
	/* a private key leaves the parent for one role alone */
	for (enum hb_role r = HB_ROLE_PARENT; r < HB_ROLE_COUNT; r++)
		assert_int_equal(hb_role_info(r)->files >> HB_FILE_KEY & 1,
		    r == HB_ROLE_KEYAGENT);
}

static void
bad_frames_are_errors(void **state)
{
	static const struct {
		const char *name;
		struct hb_span in;
		int want;
	} rows[] = {
		{ "unknown type", HB_SPAN("\0\0\0\0\xff\xff\0\0"), HB_E_SYNTAX },
		{ "odd head", HB_SPAN("\0\0\0\0\0\0\1\0"), HB_E_SYNTAX },
		{ "too long", HB_SPAN("\0\0\x7f\0\0\0\0\0"), HB_E_LIMIT },
		{ "value cut", HB_SPAN("\2\0\0\0\2\0\0\0\1\4"), HB_E_MORE },
		{ "tag twice", HB_SPAN("\6\0\0\0\2\0\0\0\1\1\5\1\1\5"),
		    HB_E_SYNTAX },
		{ "tag zero", HB_SPAN("\3\0\0\0\2\0\0\0\0\1\5"), HB_E_SYNTAX },
		{ "padded integer", HB_SPAN("\4\0\0\0\2\0\0\0\1\2\5\0"),
		    HB_E_SYNTAX },
		{ "endless length",
		    HB_SPAN("\7\0\0\0\2\0\0\0\1\x80\x80\x80\x80\x80\x80"),
		    HB_E_SYNTAX },
	};
	union hb_ipc_any out;
	enum hb_ipc_type type;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].name);
		assert_int_equal(hb_ipc_decode(at_page_end(rows[i].in), &type,
		    &out), rows[i].want);
	}
}

static void
values_above_their_bound_are_refused(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct ipc_verdict v = { .action = HB_ACTION_COUNT };
	struct ipc_auth a = { .user = hb_span(filler, 257) };

	assert_int_equal(hb_ipc_encode(HB_IPC_VERDICT, &v, &b), HB_E_RANGE);
	assert_int_equal(hb_ipc_encode(HB_IPC_AUTH, &a, &b), HB_E_RANGE);
	assert_int_equal(b.n, 0);
	v.action = HB_ACTION_COUNT - 1;
	a.user.n = 256;
	assert_int_equal(hb_ipc_encode(HB_IPC_VERDICT, &v, &b), 0);
	assert_int_equal(hb_ipc_encode(HB_IPC_AUTH, &a, &b), 0);
	hb_buf_free(&b);
}

static void
unknown_fields_are_skipped(void **state)
{
	struct hb_rcpt r;

	assert_int_equal(hb_tlv_decode(&hb_rcpt_record,
	    HB_SPAN("\xc8\3abc\2\3a@b"), &r), 0);
	assert_span(r.address, "a@b");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_of_a_record_is_copied),
		cmocka_unit_test(a_copy_of_nothing_points_nowhere),
		cmocka_unit_test(every_message_round_trips),
		cmocka_unit_test(every_tag_is_unique),
		cmocka_unit_test(every_message_has_an_allowed_pair),
		cmocka_unit_test(roles_have_the_channels_of_the_design),
		cmocka_unit_test(rows_of_roles_agree_with_the_frames),
		cmocka_unit_test(bad_frames_are_errors),
		cmocka_unit_test(values_above_their_bound_are_refused),
		cmocka_unit_test(unknown_fields_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
