/*
 * Lines of a Dovecot that is no Dovecot.  Nobody is let in before it has said
 * all that it must; a name is short and has no control bytes.
 */
#include <stdlib.h>

#include "queue/router/dovecot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must_be(bool right)
{
	if (!right)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span in = hb_span(data, n);
	struct rt_dovecot d = { .ready = false };
	struct rt_dovecot_answer a;
	struct hb_buf user = HB_BUF_INIT(0);

	while (in.n > 0) {
		if (rt_dovecot_line(&d, hb_span_cut(&in, '\n'), &a) < 0)
			break;
		must_be(a.id == 0 || (d.ready && d.version && d.plain));
		hb_buf_clear(&user);
		if (a.id == 0 || rt_dovecot_user(a.user, &user) < 0)
			continue;
		must_be(user.n > 0 && user.n <= 256);
		for (size_t i = 0; i < user.n; i++)
			must_be(user.p[user.off + i] >= ' ');
	}
	hb_buf_free(&user);
	return 0;
}
