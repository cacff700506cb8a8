/* Message ids.  Floor 2. */
#include "smtpd/msgid.h"

uint64_t
smtpd_msgid_next(struct smtpd_msgid *m, int64_t now_ms)
{
	const int64_t year_2020 = 1577836800000;
	uint64_t ms = (uint64_t)(now_ms - year_2020) & 0xFFFFFFFFFF;

	return ms << 24 | (uint64_t)m->instance << 16 | m->counter++;
}
