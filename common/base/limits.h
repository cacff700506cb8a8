/* The bounds of limits.def as constants: HB_MAX_LOCAL_PART, ...  Floor 0. */
#ifndef HB_BASE_LIMITS_H
#define HB_BASE_LIMITS_H

enum hb_limit {
#define HB_LIMIT(sym, value, unit, why) HB_MAX_##sym = (value),
#include "common/base/limits.def"
};

#endif
