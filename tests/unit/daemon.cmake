unit_test(runner_flags_test SOURCES runner_flags_test.cc LIBS tcmurbd_doors)
add_test(NAME daemon_flags
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/daemon_flags_test.py ${CMAKE_BINARY_DIR})
set_tests_properties(daemon_flags PROPERTIES LABELS unit TIMEOUT 120)
add_test(NAME probes COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/probes_test.py ${CMAKE_BINARY_DIR})
set_tests_properties(probes PROPERTIES LABELS unit TIMEOUT 120)
add_test(NAME pages COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/pages_test.py ${CMAKE_BINARY_DIR})
set_tests_properties(pages PROPERTIES LABELS unit TIMEOUT 120)
unit_test(report_log_test SOURCES report_log_test.cc LIBS tcmurbd_lun)
unit_test(lun_image_test SOURCES lun_image_test.cc LIBS tcmurbd_lun tcmurbd_fake_kernel LABELS threaded)
unit_test(metrics_server_test SOURCES metrics_server_test.cc LIBS tcmurbd_doors LABELS threaded)
unit_test(lun_json_test SOURCES lun_json_test.cc LIBS tcmurbd_daemon nlohmann_json::nlohmann_json)
unit_test(control_requests_test SOURCES control_requests_test.cc
          LIBS tcmurbd_daemon tcmurbd_fake_outside nlohmann_json::nlohmann_json LABELS threaded)
