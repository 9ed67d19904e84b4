unit_test(ceph_parts_test SOURCES ceph_data_objects_test.cc ceph_heap_trim_test.cc ceph_image_facts_test.cc ceph_object_place_test.cc ceph_op_parts_test.cc ceph_service_entry_test.cc LIBS tcmurbd_ceph nlohmann_json::nlohmann_json LABELS threaded)
unit_test(ceph_slots_test SOURCES ceph_slots_test.cc LIBS tcmurbd_ceph LABELS threaded)
# Against a real cluster, if TCMU_RBD_TEST_CEPH_CONF names one; skipped otherwise.
unit_test(ceph_image_live_test
  SOURCES ceph_live.cc ceph_live_gateway.cc ceph_live_compare_test.cc ceph_live_hung_test.cc
          ceph_live_io_test.cc ceph_live_limits_test.cc ceph_live_news_test.cc ceph_live_open_test.cc ceph_live_parts_test.cc ceph_live_status_test.cc
  LIBS tcmurbd_ceph rbd rados)
unit_test(ceph_full_live_test
  SOURCES ceph_live.cc ceph_live_gateway.cc ceph_live_full_test.cc
  LIBS tcmurbd_ceph rbd rados)
unit_test(ceph_lock_live_test
  SOURCES ceph_live.cc ceph_live_gateway.cc ceph_live_control_test.cc ceph_live_ledger_test.cc ceph_live_lock_test.cc
  LIBS tcmurbd_ceph rbd rados)
unit_test(headroom_test SOURCES headroom_test.cc LIBS tcmurbd_ceph)
unit_test(lock_procedure_test SOURCES ceph_blocklist_test.cc ceph_fence_book_test.cc ceph_peer_book_test.cc lock_procedure_test.cc LIBS tcmurbd_lock_procedure)
