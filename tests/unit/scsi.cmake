# The pure SCSI core.
unit_test(scsi_test
  SOURCES
    scsi_block_test.cc
    scsi_capacity_test.cc
    scsi_commands_page_test.cc
    scsi_compare_and_write_test.cc
    scsi_defect_data_test.cc
    scsi_copy_list_test.cc
    scsi_extended_copy_test.cc
    scsi_inquiry_test.cc
    scsi_lba_status_test.cc
    scsi_log_test.cc
    scsi_mode_test.cc
    scsi_opcodes_test.cc
    scsi_parse_test.cc
    scsi_random_test.cc
    scsi_sense_test.cc
    scsi_unmap_test.cc
    scsi_verify_test.cc
    scsi_vpd_test.cc
    scsi_write_atomic_test.cc
    scsi_write_same_test.cc
  LIBS tcmurbd_scsi fmt::fmt)
target_compile_definitions(scsi_test
  PRIVATE COMMANDS_PAGE="${CMAKE_SOURCE_DIR}/rbd_handler/scsi/COMMANDS.md")
