/* Pieces of the parent: endpoints, fixed words at a reload, listeners, the
 * table of system calls, logs. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/io/conf_load.h"
#include "common/parent/parent.h"
#include "common/io/sandbox.h"
#include "common/io/sock.h"
#include "common/io/trouble.h"
#include "common/proto/endpoint.h"

static int
no_file(void *ctx, const char *path, struct hb_buf *content)
{
	return -ENOENT;
}

static struct hb_conf *
conf_of(const char *text)
{
	struct hb_conf_source src = { .file = "t", .dir = "/",
		.text = hb_span_str(text), .read = no_file,
		.default_hostname = "mx.example" };
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf *c = hb_conf_parse(&src, &report);

	if (report.errors > 0)
		print_message("%.*s", (int)report.text.n,
		    (const char *)report.text.p + report.text.off);
	assert_int_equal(report.errors, 0);
	hb_buf_free(&report.text);
	return c;
}

static void
unix_endpoints_are_numbered(void **state)
{
	struct hb_conf *c = conf_of("deliver lmtp unix:/run/lmtp\n"
				    "route a.example smtp://b.example\n"
				    "route c.example lmtp:/run/other\n");
	struct hb_span path;
	unsigned n;

	assert_int_equal(hb_endpoint_path(c, 0, &path), 0);
	assert_span(path, "/run/lmtp");
	assert_int_equal(hb_endpoint_path(c, 1, &path), 0);
	assert_span(path, "/run/other");
	assert_int_equal(hb_endpoint_path(c, 2, &path), HB_E_NOTFOUND);
	assert_int_equal(hb_endpoint_find(c, HB_SPAN("/run/other"), &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(hb_endpoint_find(c, HB_SPAN("/run/oth"), &n),
	    HB_E_NOTFOUND);
	hb_conf_free(&c);
}

static void
only_unix_sockets_are_endpoints(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "" }, { "/", "" }, { "/a", "/a" }, { "unix:/a", "/a" },
		{ "lmtp:/a", "/a" }, { "lmtp://host:24", "" },
		{ "host:24", "" }, { "unix:a", "" }, { "//a", "" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_span(hb_endpoint_unix(hb_span_str(rows[i].text)),
		    rows[i].want);
}

static void
reload_keeps_what_cannot_change(void **state)
{
	struct hb_conf *old = conf_of("spool /a\nworkers smtpd=2\n"),
		       *next = conf_of("spool /b\nworkers smtpd=3\n"
				       "hostname new.example\n"
				       "tls-report on\n"), *c, *same;
	struct hb_buf changed = HB_BUF_INIT(0);

	c = pd_conf_keep_fixed(old, next, &changed);
	hb_conf_free(&next);
	assert_string_equal(c->spool, "/a");
	assert_int_equal(c->workers.smtpd, 2);
	assert_string_equal(c->hostname, "new.example");
	assert_int_equal(c->unbuilt.n, 1);
	assert_string_equal(c->unbuilt.v[0], "tls-report");
	assert_span(hb_buf_span(&changed), "spool workers");
	hb_buf_clear(&changed);
	same = pd_conf_keep_fixed(old, conf_of("spool /a\nworkers smtpd=2\n"),
	    &changed);
	assert_int_equal(changed.n, 0);
	hb_buf_free(&changed);
	hb_conf_free(&old);
	hb_conf_free(&c);
	hb_conf_free(&same);
}

static void
mistakes_are_found_in_a_file(void **state)
{
	char path[] = "/tmp/hauberk-unit-XXXXXX";
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	int fd = mkstemp(path);
	struct hb_conf *c;

	assert_true(fd >= 0);
	dprintf(fd, "hostname mx.example\nspool rel\nnonsense 1\nretry x\n");
	c = pd_conf_load(path, NULL, &report);
	assert_int_equal(report.errors, 2);
	assert_string_equal(c->spool, "/tmp/rel");
	hb_conf_free(&c);
	unlink(path);
	close(fd);
	hb_buf_clear(&report.text);
	report.errors = 0;
	c = pd_conf_load(path, NULL, &report);
	assert_int_equal(report.errors, 1);
	hb_conf_free(&c);
	hb_buf_free(&report.text);
}

static void
trouble_is_counted_by_process(void **state)
{
	struct pd_parent pd = { 0 };
	struct pd_proc queue = { .role = HB_ROLE_QUEUE };
	char name[16];

	hb_trouble_begin(HB_EV_MAP, HB_SPAN("/a"), HB_SPAN("nobody hears"));
	hb_trouble_end(HB_EV_MAP, HB_SPAN("/a"));
	hb_trouble_tell(pd_own_trouble, &pd);
	for (int again = 0; again < 2; again++) {
		hb_trouble_begin(HB_EV_MAP, HB_SPAN("/a"), HB_SPAN("no"));
		hb_trouble_begin(HB_EV_MAP, HB_SPAN("/b"), HB_SPAN("no"));
		hb_trouble_begin(HB_EV_SPOOL, HB_SPAN("/b"), HB_SPAN("no"));
	}
	assert_int_equal(pd.ntroubles, 3);
	pd_trouble_forget(&pd, &queue);
	assert_int_equal(pd.ntroubles, 3);
	hb_trouble_end(HB_EV_MAP, HB_SPAN("/b"));
	hb_trouble_end(HB_EV_MAP, HB_SPAN("/b"));
	hb_trouble_end(HB_EV_MAP, HB_SPAN("/c"));
	assert_int_equal(pd.ntroubles, 2);
	hb_trouble_end(HB_EV_MAP, HB_SPAN("/a"));
	/* more than the bound, with long names: neither grows for ever */
	for (unsigned i = 0; i < HB_MAX_TROUBLES + 5; i++) {
		snprintf(name, sizeof(name), "/%u", i);
		hb_trouble_begin(HB_EV_MAP, hb_span_str(name), HB_SPAN("no"));
	}
	assert_int_equal(pd.ntroubles, HB_MAX_TROUBLES);
	hb_trouble_end(HB_EV_MAP, HB_SPAN("/7"));
	assert_int_equal(pd.ntroubles, HB_MAX_TROUBLES - 1);
	hb_trouble_end_all(HB_EV_MAP);
	assert_int_equal(pd.ntroubles, 1);
	hb_trouble_end(HB_EV_SPOOL, HB_SPAN("/b"));
	assert_int_equal(pd.ntroubles, 0);
	free(pd.troubles);
	hb_trouble_tell(NULL, NULL);
}

/* A program hauberk-local in a folder of its own: the user's signal, which
 * comes at once here. */
static void
make_stopped_helper(char *folder, char *path, size_t size)
{
	int fd;

	assert_non_null(mkdtemp(folder));
	snprintf(path, size, "%s/hauberk-local", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0755);
	assert_true(fd >= 0);
	assert_true(dprintf(fd, "#!/bin/sh\nkill -STOP $$\n") > 0);
	close(fd);
	assert_int_equal(chmod(path, 0755), 0);
}

static void
test_A_29_a_stopped_helper_holds_no_slot(void **state)
{
	static const struct hb_peer_ops ops = { 0 };
	char folder[] = "/tmp/hauberk-unit-XXXXXX", path[128];
	const struct ipc_helper_start m = { .ticket = 1, .user = HB_SPAN("-") };
	struct pd_parent pd = { .libexec = folder, .phase = PD_RUNNING,
		.nofile = { 64, 64 }, .now.conf = conf_of("") };
	int sv[2], status;
	struct hb_peer *queue;
	int64_t begun_ms;
	pid_t pid;

	alarm(60); /* it would be waited for for ever */
	make_stopped_helper(folder, path, sizeof(path));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	pd.loop = hb_loop_new();
	queue = hb_peer_new(pd.loop, sv[0], HB_ROLE_PARENT, HB_ROLE_QUEUE, 0,
	    &ops, &pd);
	begun_ms = hb_mono_ms();
	pd_on_helper_start(&pd, queue, &m);
	pid = pd.helpers[0].pid;
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	kill(pid, SIGALRM); /* its own bound does not reach it */
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	pd_end_overdue(&pd, begun_ms + 1260 * 1000); /* of both its bounds */
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	pd_end_overdue(&pd, begun_ms + 1800 * 1000); /* LOCAL_LOCK_LIVE_S */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	alarm(0);
	assert_true(WIFSIGNALED(status));
	assert_true(pd_helper_ended(&pd, pid, status));
	assert_int_equal(pd.helpers[0].pid, 0);
	hb_peer_free(&queue);
	close(sv[1]);
	hb_loop_free(&pd.loop);
	hb_conf_free(&pd.now.conf);
	unlink(path);
	rmdir(folder);
}

/* A port nobody has. */
static unsigned
free_port(void)
{
	struct hb_netaddr a = { .family = 4, .b = { 127, 0, 0, 1 } };
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd = hb_sock_listen(&a);

	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	assert_true(hb_sock_to_netaddr(&ss, len, &a));
	close(fd);
	return a.port;
}

static void
listeners_are_kept_over_a_reload(void **state)
{
	struct pd_listeners first, second;
	struct hb_buf err = HB_BUF_INIT(0);
	char text[200];
	struct hb_conf *c;
	unsigned a = free_port(), b = free_port();

	snprintf(text, sizeof(text), "listen 127.0.0.1:%u smtp\n", a);
	c = conf_of(text);
	assert_int_equal(pd_listen(c, NULL, &first, &err), 0);
	assert_int_equal(first.n, 1);
	hb_conf_free(&c);
	snprintf(text, sizeof(text), "listen 127.0.0.1:%u smtp\n"
	    "listen 127.0.0.1:%u submission\n", b, a);
	c = conf_of(text);
	assert_int_equal(pd_listen(c, &first, &second, &err), 0);
	assert_int_equal(second.n, 2);
	assert_int_equal(second.v[1].fd[0], first.v[0].fd[0]);
	pd_listen_close(&first, &second);
	assert_true(fcntl(second.v[1].fd[0], F_GETFD) >= 0);
	/* a place that is taken: nothing of it stays open, a reason is told */
	assert_int_not_equal(pd_listen(c, NULL, &first, &err), 0);
	assert_true(err.n > 0);
	hb_conf_free(&c);
	/* a place that is named twice, also when it is ours already */
	snprintf(text, sizeof(text), "listen 127.0.0.1:%u smtp\n"
	    "listen 127.0.0.1:%u lmtp\n", b, a);
	c = conf_of(text);
	c->listens.v[1].addr.port = c->listens.v[0].addr.port;
	assert_int_not_equal(pd_listen(c, &second, &first, &err), 0);
	assert_true(fcntl(second.v[0].fd[0], F_GETFD) >= 0);
	pd_listen_close(&second, NULL);
	hb_conf_free(&c);
	hb_buf_free(&err);
}

static void
addresses_survive_the_way_through_the_system(void **state)
{
	static const char *const rows[] = { "192.0.2.1", "2001:db8::1" };
	struct sockaddr_storage ss;
	struct hb_netaddr a, b;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		assert_int_equal(hb_netaddr_parse(hb_span_str(rows[i]), &a), 0);
		a.port = 25;
		socklen_t n = hb_sock_from_netaddr(&a, &ss);

		assert_true(n > 0);
		assert_true(hb_sock_to_netaddr(&ss, n, &b));
		assert_true(hb_netaddr_eq(&a, &b));
		assert_false(hb_sock_to_netaddr(&ss, n - 1, &b));
	}
	assert_int_equal(hb_netaddr_parse(HB_SPAN("::ffff:192.0.2.1"), &a), 0);
	assert_true(hb_sock_to_netaddr(&ss, hb_sock_from_netaddr(&a, &ss), &b));
	assert_int_equal(b.family, 4);
	a.family = 0;
	assert_int_equal(hb_sock_from_netaddr(&a, &ss), 0);
}

static void
calls_are_allowed_by_role(void **state)
{
	static const struct {
		enum hb_role role;
		const char *call;
		bool want;
	} rows[] = {
		{ HB_ROLE_QUEUE, "fdatasync", true },
		{ HB_ROLE_SMTPD, "fdatasync", false },
		{ HB_ROLE_SMTPD, "openat", false },
		{ HB_ROLE_DELIVERY, "connect", true },
		{ HB_ROLE_QUEUE, "connect", false },
		{ HB_ROLE_KEYAGENT, "connect", false },
		{ HB_ROLE_KEYAGENT, "sendmsg", true },
		{ HB_ROLE_ROUTER, "fork", true },
		{ HB_ROLE_SMTPD, "fork", false },
		{ HB_ROLE_ROUTER, "execve", false },
		{ HB_ROLE_ROUTER, "no_such_call", false },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		if (hb_sandbox_allows(rows[i].role, rows[i].call) !=
		    rows[i].want)
			fail_msg("%s of %s", rows[i].call,
			    hb_role_name(rows[i].role));
}

#ifndef HB_ASAN
/* In a child inside ROLE's sandbox; the exit code tells what was seen. */
static int
inside(enum hb_role role, int (*probe)(void))
{
	char dir[] = "/tmp/hauberk-unit-XXXXXX", text[300], sub[100];
	struct hb_buf err = HB_BUF_INIT(0);
	struct hb_conf *c;
	int status;
	pid_t pid;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(sub, sizeof(sub), "%s/empty", dir);
	assert_int_equal(mkdir(sub, 0755), 0);
	snprintf(text, sizeof(text), "spool %s\nrun-dir %s\n", dir, dir);
	c = conf_of(text);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
			_exit(100);
		if (hb_sandbox_enter(role, c, &err) != 0)
			_exit(101);
		_exit(probe());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	hb_conf_free(&c);
	rmdir(sub);
	rmdir(dir);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int
probe_file(void)
{
	return open("/etc/passwd", O_RDONLY) >= 0;
}

static int
probe_write(void)
{
	return open("/tmp/hauberk-unit-file", O_WRONLY | O_CREAT, 0600) >= 0;
}

static int
probe_network(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static int
probe_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static int
probe_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0;
}

static int
probe_exec(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return 0;
}

static void
the_sandbox_holds(void **state)
{
	static const struct {
		const char *name;
		enum hb_role role;
		int (*probe)(void);
		int want;
	} rows[] = {
		{ "smtpd file", HB_ROLE_SMTPD, probe_file, 0 },
		{ "smtpd net", HB_ROLE_SMTPD, probe_network, 1 },
		{ "smtpd unix", HB_ROLE_SMTPD, probe_unix, 0 },
		{ "smtpd fork", HB_ROLE_SMTPD, probe_fork, 0 },
		{ "smtpd exec", HB_ROLE_SMTPD, probe_exec, -SIGSYS },
		{ "router file", HB_ROLE_ROUTER, probe_file, 1 },
		{ "router write", HB_ROLE_ROUTER, probe_write, 0 },
		{ "router fork", HB_ROLE_ROUTER, probe_fork, 1 },
		{ "queue net", HB_ROLE_QUEUE, probe_network, 0 },
		{ "queue file", HB_ROLE_QUEUE, probe_file, 0 },
		{ "queue fork", HB_ROLE_QUEUE, probe_fork, 0 },
		{ "delivery net", HB_ROLE_DELIVERY, probe_network, 1 },
		{ "delivery file", HB_ROLE_DELIVERY, probe_file, 0 },
		{ "keyagent net", HB_ROLE_KEYAGENT, probe_network, 0 },
		{ "keyagent exec", HB_ROLE_KEYAGENT, probe_exec, -SIGSYS },
		{ "control file", HB_ROLE_CONTROL, probe_file, 0 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		int got = inside(rows[i].role, rows[i].probe);

		if (got != rows[i].want)
			fail_msg("%s: %d", rows[i].name, got);
	}
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unix_endpoints_are_numbered),
		cmocka_unit_test(only_unix_sockets_are_endpoints),
		cmocka_unit_test(reload_keeps_what_cannot_change),
		cmocka_unit_test(mistakes_are_found_in_a_file),
		cmocka_unit_test(trouble_is_counted_by_process),
		cmocka_unit_test(test_A_29_a_stopped_helper_holds_no_slot),
		cmocka_unit_test(listeners_are_kept_over_a_reload),
		cmocka_unit_test(addresses_survive_the_way_through_the_system),
		cmocka_unit_test(calls_are_allowed_by_role),
#ifndef HB_ASAN
		cmocka_unit_test(the_sandbox_holds),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
