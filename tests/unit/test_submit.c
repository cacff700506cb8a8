/* hauberk-submit as it is built: records on its input, files in maildrop/. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "common/base/hash.h"
#include "common/base/limits.h"
#include "common/proto/maildrop.h"

static char dir[] = "/tmp/hauberk-submit-XXXXXX";
static char conf[128], drop[128];

static int
make_place(void **state)
{
	char path[128];
	FILE *f;

	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(conf, sizeof(conf), "%s/conf", dir);
	snprintf(drop, sizeof(drop), "%s/spool/maildrop", dir);
	snprintf(path, sizeof(path), "%s/spool", dir);
	f = fopen(conf, "w");
	if (f == NULL || mkdir(path, 0700) != 0 || mkdir(drop, 0700) != 0)
		return -1;
	fprintf(f, "hostname h.test\nspool spool\nmax-message-size 1024\n"
	    "max-recipients 5\n");
	return fclose(f);
}

/* The only file there, or "" when there is none; more is a failure. */
static void
only_file(char *path, size_t size)
{
	DIR *d = opendir(drop);
	struct dirent *e;
	int n = 0;

	path[0] = '\0';
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		n++;
		snprintf(path, size, "%s/%s", drop, e->d_name);
	}
	closedir(d);
	assert_in_range(n, 0, 1);
}

static int
remove_place(void **state)
{
	char path[128];

	unlink(conf);
	rmdir(drop);
	snprintf(path, sizeof(path), "%s/spool", dir);
	rmdir(path);
	return rmdir(dir);
}

static void
make_record_from(struct hb_buf *out, struct hb_span sender,
    struct hb_span address, size_t rcpts, struct hb_span body)
{
	struct hb_env env = { .id = 7, .arrived_ms = 9, .parent = 5,
		.sender = sender, .user = HB_SPAN("root") };
	struct hb_rcpt rcpt = { .address = address };
	struct hb_buf e = HB_BUF_INIT(0), r = HB_BUF_INIT(0);
	struct hb_drop_head h = { .body_n = body.n };

	assert_int_equal(hb_tlv_encode(&hb_env_record, &env, &e), 0);
	while (rcpts-- > 0)
		assert_int_equal(hb_drop_rcpt_put(&rcpt, &r), 0);
	h.env_n = (uint32_t)e.n;
	h.rcpts_n = (uint32_t)r.n;
	h.crc = hb_crc32c(0, hb_buf_span(&e));
	h.crc = hb_crc32c(h.crc, hb_buf_span(&r));
	h.crc = hb_crc32c(h.crc, body);
	hb_drop_head_put(&h, out);
	hb_buf_add(out, hb_buf_span(&e));
	hb_buf_add(out, hb_buf_span(&r));
	hb_buf_add(out, body);
	hb_buf_free(&e);
	hb_buf_free(&r);
}

static void
make_record_of(struct hb_buf *out, struct hb_span body, bool with_rcpt)
{
	make_record_from(out, HB_SPAN("a@b.test"), HB_SPAN("c@d.test"),
	    with_rcpt, body);
}

static void
make_record(struct hb_buf *out, const char *body, bool with_rcpt)
{
	make_record_of(out, hb_span_str(body), with_rcpt);
}

/* Runs the program with INPUT; its exit code. */
static int
submit(struct hb_span input)
{
	const char *build = getenv("HB_BUILDDIR");
	char program[4096];
	int in[2], status;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/common/tools/hauberk-submit",
	    build != NULL ? build : ".");
	assert_int_equal(pipe(in), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(in[0], 0);
		dup2(null, 1);
		dup2(null, 2);
		close(in[1]);
		execl(program, program, "-C", conf, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	if (input.n > 0)
		assert_int_equal(write(in[1], input.p, input.n), input.n);
	close(in[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Nothing may be left in maildrop/ by what was refused. */
static void
refused(struct hb_span input, int code)
{
	char path[512];

	assert_int_equal(submit(input), code);
	only_file(path, sizeof(path));
	assert_string_equal(path, "");
}

static void
good_record_is_kept_and_stamped(void **state)
{
	struct hb_buf in = HB_BUF_INIT(0);
	static unsigned char file[4096];
	struct hb_drop_head h;
	struct hb_env env;
	struct hb_span rest;
	char path[512], user[32];
	ssize_t n;
	int fd;

	make_record(&in, "Subject: s\r\n\r\nhi\r\n", true);
	assert_int_equal(submit(hb_buf_span(&in)), EX_OK);
	only_file(path, sizeof(path));
	assert_true(hb_drop_is_name(hb_span_str(strrchr(path, '/') + 1)));
	fd = open(path, O_RDONLY);
	n = read(fd, file, sizeof(file));
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_true(n > HB_DROP_HEAD);
	rest = hb_span(file, (size_t)n);
	assert_int_equal(hb_drop_head_parse(rest, &h), 0);
	rest = hb_span_from(rest, HB_DROP_HEAD);
	assert_int_equal(hb_crc32c(0, rest), h.crc);
	assert_int_equal(hb_drop_env(hb_span_head(rest, h.env_n), &env), 0);
	assert_int_equal(env.id | (uint64_t)env.arrived_ms | env.parent, 0);
	snprintf(user, sizeof(user), "uid:%u", (unsigned)getuid());
	assert_span(env.user, user);
	assert_span(env.sender, "a@b.test");
	assert_span(hb_span_from(rest, (size_t)h.env_n + h.rcpts_n),
	    "Subject: s\r\n\r\nhi\r\n");
	hb_buf_free(&in);
}

static void
damaged_records_are_refused(void **state)
{
	struct hb_buf in = HB_BUF_INIT(0);
	struct hb_span all;

	make_record(&in, "Subject: s\r\n\r\nhi\r\n", true);
	all = hb_buf_span(&in);
	for (size_t cut = 0; cut < all.n; cut += 7)
		refused(hb_span_head(all, cut), EX_DATAERR);
	in.p[in.off + in.n - 1] ^= 1;
	refused(all, EX_DATAERR);
	in.p[in.off + in.n - 1] ^= 1;
	in.p[in.off + HB_DROP_HEAD] ^= 1;
	refused(all, EX_DATAERR);
	in.p[in.off + HB_DROP_HEAD] ^= 1;
	hb_buf_adds(&in, "x");
	refused(hb_buf_span(&in), EX_DATAERR);
	hb_buf_free(&in);
}

/* What would end a message early at the next server is not kept (F-26: nor
 * what would at a server that drops NUL). */
static void
test_A_1_only_wire_form_is_kept(void **state)
{
	static const struct hb_span bodies[] = {
		HB_SPAN_INIT("a: b\r\n\r\nx\r\n.\r\nMAIL FROM:<x@y>\r\n"),
		HB_SPAN_INIT(".\r\n"),
		HB_SPAN_INIT("a: b\r\n\r\nx\n.\r\n"),
		HB_SPAN_INIT("a: b\r\n\r\nx\r.\r\n"),
		HB_SPAN_INIT("a: b\r\n\r\n.\0\r\n"),
		HB_SPAN_INIT("a: b\r\n\r\nx"),
		HB_SPAN_INIT("a: b\r\n\r\nx\r"),
	};
	struct hb_buf in = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(bodies); i++) {
		hb_buf_clear(&in);
		make_record_of(&in, bodies[i], true);
		refused(hb_buf_span(&in), EX_DATAERR);
	}
	hb_buf_free(&in);
}

static void
test_A_3_addresses_are_parsed(void **state)
{
	static const struct hb_span bad[] = {
		HB_SPAN_INIT("a@b.test>\r\nX: y"),
		HB_SPAN_INIT("a@b.test> NOTIFY=NEVER"),
		HB_SPAN_INIT("a@b.test\0"), HB_SPAN_INIT("nobody") };
	struct hb_buf in = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		hb_buf_clear(&in);
		make_record_from(&in, bad[i], HB_SPAN("c@d.test"), 1,
		    HB_SPAN("x\r\n"));
		refused(hb_buf_span(&in), EX_DATAERR);
		hb_buf_clear(&in);
		make_record_from(&in, HB_SPAN("a@b.test"), bad[i], 1,
		    HB_SPAN("x\r\n"));
		refused(hb_buf_span(&in), EX_DATAERR);
	}
	hb_buf_free(&in);
}

/* max-recipients holds here too. */
static void
test_A_2_recipients_have_a_bound(void **state)
{
	struct hb_buf in = HB_BUF_INIT(0);
	char path[512];

	make_record_from(&in, HB_SPAN("a@b.test"), HB_SPAN("c@d.test"), 5,
	    HB_SPAN("x\r\n"));
	assert_int_equal(submit(hb_buf_span(&in)), EX_OK);
	only_file(path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	hb_buf_clear(&in);
	make_record_from(&in, HB_SPAN("a@b.test"), HB_SPAN("c@d.test"), 6,
	    HB_SPAN("x\r\n"));
	refused(hb_buf_span(&in), EX_UNAVAILABLE);
	hb_buf_free(&in);
}

static void
bounds(void **state)
{
	static char body[1026];
	struct hb_buf in = HB_BUF_INIT(0);
	char path[512];

	make_record(&in, "x\r\n", false);
	refused(hb_buf_span(&in), EX_USAGE);
	hb_buf_clear(&in);
	memset(body, 'x', 1025);
	make_record(&in, body, true);
	refused(hb_buf_span(&in), EX_UNAVAILABLE);
	hb_buf_clear(&in);
	memcpy(body + 1022, "\r\n", 3);
	make_record(&in, body, true);
	assert_int_equal(submit(hb_buf_span(&in)), EX_OK);
	only_file(path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	hb_buf_free(&in);
}

/* All names of small files that one user has; every other one is still being
 * written. */
enum { NAMES = HB_MAX_WAITING_OCTETS / 65536 };

static void
name_path(char *path, size_t size, unsigned i)
{
	snprintf(path, size, "%s/%s%x.0.%x", drop, i % 2 ? "." : "",
	    (unsigned)getuid(), i);
}

static void
fill_names(bool make)
{
	char path[512];

	for (unsigned i = 0; i < NAMES; i++) {
		int fd;

		name_path(path, sizeof(path), i);
		if (!make) {
			unlink(path);
			continue;
		}
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
}

static void
test_A_31_one_user_cannot_fill_the_disk(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	char path[512], dotted[512];
	struct stat st;

	make_record(&b, "x\r\n", true);
	fill_names(true);
	assert_int_equal(submit(hb_buf_span(&b)), EX_TEMPFAIL);
	name_path(path, sizeof(path), 8);
	snprintf(dotted, sizeof(dotted), "%s/.%x.0.8", drop,
	    (unsigned)getuid());
	assert_int_equal(stat(dotted, &st), -1);
	unlink(path); /* the queue has taken it */
	assert_int_equal(submit(hb_buf_span(&b)), EX_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 0);
	assert_int_equal(submit(hb_buf_span(&b)), EX_TEMPFAIL);
	fill_names(false);
	hb_buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_A_31_one_user_cannot_fill_the_disk),
		cmocka_unit_test(good_record_is_kept_and_stamped),
		cmocka_unit_test(damaged_records_are_refused),
		cmocka_unit_test(test_A_1_only_wire_form_is_kept),
		cmocka_unit_test(test_A_3_addresses_are_parsed),
		cmocka_unit_test(test_A_2_recipients_have_a_bound),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
