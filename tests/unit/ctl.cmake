unit_test(ctl_test SOURCES ctl_load_test.cc ctl_views_test.cc LIBS tcmurbd_ctl_views)
add_test(NAME ctl_program COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/ctl_program_test.py ${CMAKE_BINARY_DIR})
set_tests_properties(ctl_program PROPERTIES LABELS unit TIMEOUT 120)
