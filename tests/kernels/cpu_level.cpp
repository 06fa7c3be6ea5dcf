// Prints the instruction set in use, KILN_CPU_ISA heeded: for at_level.
#include <iostream>

#include "kernels/cpu/isa.h"

int main() {
  std::cout << kiln::cpu::name_of(kiln::cpu::isa())
            << (kiln::cpu::has_bf16_dots() ? " with dot products of bf16" : "") << "\n";
}
