/* Output to a client, and pausing its input.  Floor 4. */
#include "config.h"

#include "common/control/control.h"

enum {
	TEXT_MANY = 32 << 10, /* formatted bytes before they become a piece */
	DROP_MAX = 32 << 20   /* unread bytes: the client is let go */
};

bool
ctl_client_is_full(const struct ctl_client *c)
{
	return c->out.n > CTL_OUT_FULL;
}

void
ctl_push(struct ctl_client *c, bool all)
{
	if (c->text.n == 0 || (!all && c->text.n < TEXT_MANY))
		return;
	hb_ctl_piece_put(HB_CTL_OUT, hb_buf_span(&c->text), &c->out);
	hb_buf_clear(&c->text);
	hb_hook_arm(c->write);
	if (c->out.n > DROP_MAX) {
		c->too_slow = true;
		hb_timer_set(c->timer, 0);
	}
}

void
ctl_err(struct ctl_client *c, const char *text)
{
	struct hb_buf line = HB_BUF_INIT(0);
	struct hb_span rest = hb_span_trim(hb_span_str(text));

	while (rest.n > 0) {
		ctl_safe(&line, hb_span_cut(&rest, '\n'));
		hb_buf_adds(&line, "\n");
	}
	hb_ctl_piece_put(HB_CTL_ERR, hb_buf_span(&line), &c->out);
	hb_buf_free(&line);
}

void
ctl_exit(struct ctl_client *c, unsigned code)
{
	if (c->leaving)
		return;
	ctl_push(c, true);
	hb_ctl_exit_put(code, &c->out);
	c->leaving = true;
	hb_hook_arm(c->write);
}

void
ctl_want(struct ctl_client *c)
{
	hb_io_want(c->io, (c->held ? 0 : HB_IO_READ) |
		(c->out.n > 0 ? HB_IO_WRITE : 0));
}

void
ctl_hold(struct ctl_client *c, bool held)
{
	c->held = held;
	ctl_want(c);
}
