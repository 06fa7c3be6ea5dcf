# kiln_warnings: what our own code is compiled with; never imposed on a consumer. Designated
# initialisers leave out what keeps its default, so that warning is off.
add_library(kiln_warnings INTERFACE)
# GCC 12 reports overlapping copies inside std::string's operator+ where there are none (GCC bug
# 105329); no other version of the warning has found anything here.
target_compile_options(kiln_warnings INTERFACE
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>)
target_compile_options(kiln_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-missing-field-initializers -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
    -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Wunused -Wdouble-promotion>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${KILN_WERROR}>>:-Werror>)
