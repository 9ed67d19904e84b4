unit_test(boot_clock_test SOURCES boot_clock_test.cc LIBS tcmurbd_common)
unit_test(crash_dump_test SOURCES crash_dump_test.cc
          LIBS tcmurbd_trace tcmurbd_fake_kernel tcmurbd_fake_image nlohmann_json::nlohmann_json)
unit_test(iov_test SOURCES iov_test.cc LIBS tcmurbd_common)
unit_test(latency_histogram_test SOURCES latency_histogram_test.cc LIBS tcmurbd_common)
unit_test(log_test SOURCES log_test.cc LIBS tcmurbd_common)
unit_test(log_writer_test SOURCES log_writer_test.cc LIBS tcmurbd_common)
unit_test(log_queue_test SOURCES log_queue_test.cc LIBS tcmurbd_common LABELS threaded)
unit_test(lock_test SOURCES gate_bounds_test.cc gate_operator_test.cc gate_random_test.cc gate_test.cc ladder_table_test.cc lock_state_test.cc
          task_moves_test.cc LIBS tcmurbd_lock tcmurbd_task)
unit_test(copy_test SOURCES copy_pipeline_test.cc LIBS tcmurbd_copy)
unit_test(range_order_test SOURCES range_order_test.cc throttle_test.cc LIBS tcmurbd_task)
unit_test(device_test
  SOURCES
    device_test.cc
    device_answers_test.cc
    device_compare_test.cc
    device_copy_test.cc
    device_extended_copy_test.cc
    device_ladder_test.cc
    device_latency_test.cc
    device_lba_status_test.cc
    device_order_test.cc
    device_random_test.cc
    device_refusals_test.cc
    device_snapshot_test.cc
    device_stale_test.cc
    device_writes_test.cc
    flight_story_test.cc
    device_verify_test.cc
    esxi_probe_test.cc
  LIBS tcmurbd_device tcmurbd_fake_kernel tcmurbd_fake_image)
unit_test(heartbeat_test SOURCES heartbeat_test.cc LIBS tcmurbd_reactor)
unit_test(inbox_test SOURCES inbox_test.cc LIBS tcmurbd_reactor LABELS threaded)
unit_test(jobs_test SOURCES jobs_test.cc LIBS tcmurbd_reactor LABELS threaded)
unit_test(control_socket_test SOURCES control_socket_test.cc LIBS tcmurbd_doors LABELS threaded)
unit_test(bus_service_test SOURCES bus_service_test.cc LIBS tcmurbd_doors PkgConfig::SYSTEMD LABELS threaded)
unit_test(crash_file_test SOURCES crash_file_test.cc LIBS tcmurbd_daemon)
unit_test(daemon_parts_test SOURCES instance_record_test.cc named_luns_test.cc LIBS tcmurbd_lun)
add_test(NAME house_rules COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/house_rules.py)
set_tests_properties(house_rules PROPERTIES LABELS unit)
unit_test(device_allocation_test SOURCES device_allocation_test.cc LIBS tcmurbd_device tcmurbd_fake_kernel)
unit_test(device_sim_test SOURCES device_sim_test.cc LIBS tcmurbd_lun_sim)
unit_test(device_interleavings_test SOURCES device_interleavings_test.cc LIBS tcmurbd_lun_sim)
unit_test(messages_test SOURCES messages_test.cc LIBS tcmurbd_common)
target_compile_definitions(messages_test PRIVATE OPERATING_PAGE="${CMAKE_SOURCE_DIR}/packaging/OPERATING.md"
  CATALOG="${CMAKE_SOURCE_DIR}/packaging/systemd/tcmu-rbd.catalog")
add_test(NAME journal COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/journal_test.py ${CMAKE_BINARY_DIR})
set_tests_properties(journal PROPERTIES LABELS unit TIMEOUT 120)
