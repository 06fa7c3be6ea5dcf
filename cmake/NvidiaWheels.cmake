# kiln_nvidia_wheels(OUT): the folders, each with include/ and lib/, in which Python wheels bring
# NVIDIA's libraries: <site-packages>/nvidia/<library>, and nvidia/cu13 for those of the toolkit.
#   NVIDIA_WHEELS_ROOT  <site-packages>/nvidia; without it the python3 on PATH is asked, which
#                       honours an active virtual environment
function(kiln_nvidia_wheels out)
  set(roots ${NVIDIA_WHEELS_ROOT})
  if(NOT roots)
    set(roots $ENV{NVIDIA_WHEELS_ROOT})
  endif()
  if(NOT roots)
    find_program(KILN_WHEELS_PYTHON NAMES python3)
    mark_as_advanced(KILN_WHEELS_PYTHON)
    if(KILN_WHEELS_PYTHON)
      execute_process(
        COMMAND ${KILN_WHEELS_PYTHON} -c "import importlib.util as u
spec = u.find_spec('nvidia')
print(';'.join(spec.submodule_search_locations or []) if spec else '', end='')"
        OUTPUT_VARIABLE roots ERROR_QUIET)
    endif()
  endif()
  set(folders "")
  foreach(root IN LISTS roots)
    foreach(library cudnn cublas cu13)
      if(IS_DIRECTORY ${root}/${library}/lib)
        list(APPEND folders ${root}/${library})
      endif()
    endforeach()
  endforeach()
  set(${out} ${folders} PARENT_SCOPE)
endfunction()

# kiln_find_nvidia(NAME HEADER LIBRARY_NAMES...): NAME_INCLUDE_DIR and NAME_LIBRARY. In this order:
# NAME_ROOT, the toolkit, wheels, and the system's folders (Debian packages).
macro(kiln_find_nvidia name header)
  kiln_nvidia_wheels(kiln_wheels)
  set(kiln_hints ${${name}_ROOT} $ENV{${name}_ROOT})
  foreach(folder IN LISTS CUDAToolkit_LIBRARY_DIR)
    list(APPEND kiln_hints ${folder}/..)
  endforeach()
  list(APPEND kiln_hints ${CUDAToolkit_TARGET_DIR} ${kiln_wheels})
  find_path(${name}_INCLUDE_DIR NAMES ${header} HINTS ${kiln_hints} PATH_SUFFIXES include)
  find_library(${name}_LIBRARY NAMES ${ARGN} HINTS ${kiln_hints} PATH_SUFFIXES lib lib64)
  mark_as_advanced(${name}_INCLUDE_DIR ${name}_LIBRARY)
endmacro()

# kiln_nvidia_target(TARGET NAME): the imported library TARGET from NAME_LIBRARY.
macro(kiln_nvidia_target target name)
  if(${name}_FOUND AND NOT TARGET ${target})
    add_library(${target} UNKNOWN IMPORTED)
    set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${${name}_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${${name}_INCLUDE_DIR}")
  endif()
endmacro()
