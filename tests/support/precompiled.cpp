// Nothing of its own: owner of the precompiled header of the tests (cmake/targets.cmake).
