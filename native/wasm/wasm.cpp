// What the kernel needs beside itself in WebAssembly: memory. An instance serves one trainer and is dropped with it,
// so memory is handed out in one direction and never taken back.
#include <stddef.h>
#include <stdint.h>

extern "C" {

extern unsigned char __heap_base;

constexpr size_t PAGE = 65536;
/* Of every block: a cache line, and more than any vector of the kernel. */
constexpr size_t ALIGNMENT = 64;

static size_t next = 0;

/* Null when the memory cannot grow any further. */
void* malloc(size_t size) {
  if (next == 0) next = ((size_t)&__heap_base + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
  if (size > SIZE_MAX - ALIGNMENT - next) return nullptr;
  const size_t start = next;
  const size_t end = (start + size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
  const size_t have = __builtin_wasm_memory_size(0);
  const size_t need = end / PAGE + (end % PAGE != 0);
  if (need > have && __builtin_wasm_memory_grow(0, need - have) == SIZE_MAX) return nullptr;
  next = end;
  return (void*)start;
}

void free(void*) {}
}
