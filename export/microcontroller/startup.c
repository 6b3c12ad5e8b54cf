/* The start of a program on a Cortex-M without an operating system: an emulated MPS2 board here. */
#include <stdint.h>
#include <stdlib.h>

#define VECTORS 16
#define CPACR (*(volatile uint32_t *)0xE000ED88) /* which coprocessors may be used */

extern uint32_t stack_top, data_from, data_start, data_end, bss_start, bss_end;
extern void initialise_monitor_handles(void); /* of newlib: input and output by semihosting */
int main(void);
void _init(void);
void _fini(void);
void reset(void);
void fault(void);

void _init(void) {}
void _fini(void) {}

void fault(void)
{
    exit(3);
}

void reset(void)
{
#ifdef __ARM_FP
    CPACR |= 0xf << 20; /* the floating point unit */
    __asm volatile("dsb\n isb");
#endif
    for (uint32_t *from = &data_from, *to = &data_start; to < &data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &bss_start; to < &bss_end;) {
        *to++ = 0;
    }
    initialise_monitor_handles();
    exit(main());
}

/* The stack's top, the reset handler, and a handler for each fault. */
__attribute__((section(".vectors"), used)) static const uintptr_t vectors[VECTORS] = {
    (uintptr_t)&stack_top, (uintptr_t)reset, (uintptr_t)fault, (uintptr_t)fault,
    (uintptr_t)fault,      (uintptr_t)fault, (uintptr_t)fault,
};
