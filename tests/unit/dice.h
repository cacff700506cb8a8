/* Games with dice: the same seed plays the same game.  HB_RANDOM_SEEDS=N plays
 * N games, HB_RANDOM_FIRST=N begins with that one. */
#ifndef TESTS_UNIT_DICE_H
#define TESTS_UNIT_DICE_H

#include <stdint.h>
#include <stdlib.h>

static uint64_t dice;

static inline void
dice_seed(unsigned long seed)
{
	dice = UINT64_C(0x9e3779b97f4a7c15) * (seed + 1);
}

/* Below SIDES. */
static inline uint32_t
roll(uint32_t sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (uint32_t)((dice >> 16) % sides);
}

static inline bool
chance(unsigned of_100)
{
	return roll(100) < of_100;
}

/* The number in an environment variable. */
static inline unsigned long
number_of(const char *variable, unsigned long otherwise)
{
	const char *text = getenv(variable);

	return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

#endif
