/* Where log records go. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/io/logsink.h"

/* The next datagram, as /dev/log gets it. */
static void
take(int fd, char *text, size_t size)
{
	ssize_t n;

	hb_logsink_flush();
	n = recv(fd, text, size - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	text[n] = '\0';
}

/* As syslog(3) writes them: one time, local, and the process; ours is left out. */
static void
test_S_12_syslog_lines_are_like_those_of_others(void **state)
{
	struct hb_loop *l = hb_loop_new();
	char text[512], want[128];
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
	hb_log_set_role("queue", 4711);
	hb_logsink_start(l, NULL, NULL);
	hb_logsink_set(dup(fd[0]), HB_LOGFD_SYSLOG, HB_LOG_TEXT, HB_LOG_INFO);
	HB_LOG(HB_LOG_WARN, HB_EV_STOP, hb_kv_str(HB_K_TEXT, "a b"));
	take(fd[1], text, sizeof(text));
	assert_int_equal(strncmp(text, "<20>", 4), 0);
	assert_true(text[7] == ' ' && text[10] == ' ' && text[13] == ':');
	assert_string_equal(text + 4 + sizeof("Mmm dd hh:mm:ss") - 1,
	    " hauberk-queue[4711]: ev=stop text=\"a b\"");
	hb_logsink_set(fd[0], HB_LOGFD_SYSLOG, HB_LOG_JSON, HB_LOG_INFO);
	HB_LOG(HB_LOG_INFO, HB_EV_STOP, hb_kv_str(HB_K_TEXT, "c"));
	take(fd[1], text, sizeof(text));
	snprintf(want, sizeof(want), " hauberk[%d]: {\"time\":", (int)getpid());
	assert_int_equal(strncmp(text + 4 + sizeof("Mmm dd hh:mm:ss") - 1,
	    want, strlen(want)), 0);
	close(fd[1]);
	hb_loop_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_S_12_syslog_lines_are_like_those_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
