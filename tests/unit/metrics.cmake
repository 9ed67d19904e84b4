unit_test(metrics_test SOURCES metrics_page_test.cc metrics_test.cc LIBS tcmurbd_metrics fmt::fmt)
target_compile_definitions(metrics_test
  PRIVATE METRICS_PAGE="${CMAKE_SOURCE_DIR}/rbd_handler/metrics/METRICS.md")
add_test(NAME monitoring COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/monitoring_test.py)
set_tests_properties(monitoring PROPERTIES LABELS unit TIMEOUT 120)
add_test(NAME timeline COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/timeline_test.py)
set_tests_properties(timeline PROPERTIES LABELS unit TIMEOUT 120)
