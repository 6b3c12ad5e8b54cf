/* Instructions of one run of the graph RUN, by a timer of the emulated board: under
 * `-icount shift=5` an instruction takes 32 ns, and the timer counts 25 million a second. */
#include <stdint.h>
#include <stdio.h>

#include "cvae_model.h"

#define TIMER(offset) (*(volatile uint32_t *)(0x40000000 + (offset)))
#define TICK_NS 40
#define INSTRUCTION_NS 32

int main(void)
{
    TIMER(8) = 0xffffffff; /* from where it counts down */
    TIMER(4) = 0xffffffff;
    TIMER(0) = 1;
    const uint32_t before = TIMER(4);
    RUN();
    const uint32_t after = TIMER(4);
    printf("%lu\n", (unsigned long)((uint64_t)(before - after) * TICK_NS / INSTRUCTION_NS));
    return 0;
}
