/*
 * Questions of the router to its children and to hauberk-pam, and their
 * answers: a datagram each.  Floor 1.
 */
#ifndef QUEUE_ROUTER_WORKREC_H
#define QUEUE_ROUTER_WORKREC_H

#include "common/proto/tlv.h"

enum { RT_WORK_USER = 1, RT_WORK_PASSWORD = 2 };
enum { RT_WORK_MAX = 4096 };

#define RECORD_STRUCT(name) rt_##name
#include "common/proto/record-struct.h"
#include "queue/router/work.def"
#include "common/proto/record-undef.h"

extern const struct hb_record rt_work_record, rt_work_done_record;

/* OUT is cleared first.  0, HB_E_RANGE or HB_E_LIMIT: a field is too long. */
int rt_work_done_put(const struct rt_work_done *done, struct hb_buf *out)
    HB_MUSTCHECK;

#endif
