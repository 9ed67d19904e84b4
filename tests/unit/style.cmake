# Only where asked for: clang-tidy reads every file as a compiler would, ten minutes on two cores, and longer beside the lab (run.sh).
if(TCMU_RBD_TIDY)
  add_test(NAME clang_format COMMAND sh -c
    "git -C ${CMAKE_SOURCE_DIR} ls-files -z '*.h' '*.cc' | xargs -0 clang-format-19 --dry-run -Werror"
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  # layout_check.cc holds our layout against the kernel's header, whose C only g++ takes as C++.
  add_test(NAME clang_tidy COMMAND run-clang-tidy-19 -quiet -p ${CMAKE_BINARY_DIR}
    "^${CMAKE_SOURCE_DIR}/(common|config|rbd_handler|tests/bench)/(?!kernel/layout_check)" WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(clang_format clang_tidy PROPERTIES LABELS style)
  set_tests_properties(clang_tidy PROPERTIES TIMEOUT 5400 RUN_SERIAL TRUE)
endif()
