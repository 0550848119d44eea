//! The Parquet files of a snapshot as scan input.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
};

use arrow::datatypes::{Fields, Schema};
use datafusion::{
    catalog::Session,
    common::{
        ColumnStatistics, DataFusionError, Result, ScalarValue, Statistics, internal_datafusion_err, stats::Precision,
    },
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource, parquet::CachedParquetFileReaderFactory},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    execution::object_store::ObjectStoreUrl,
    physical_plan::ExecutionPlan,
};
use object_store::{ObjectStore, local::LocalFileSystem, path::Path as ObjectPath};
use store::DataFile;

use super::{DAY, EventTable, rest::RestAdapterFactory};

pub(super) fn scan(
    session: &dyn Session,
    table: &EventTable,
    files: Vec<Arc<DataFile>>,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (partition, columns): (Vec<_>, Vec<_>) =
        table.schema.fields().iter().cloned().partition(|field| field.name() == DAY);
    let has_day = !partition.is_empty();
    let table_schema =
        TableSchema::builder(Arc::new(Schema::new(columns))).with_table_partition_cols(Fields::from(partition)).build();
    let (url, objects) = objects(session, &table.snapshot.root)?;
    let footers = session.runtime_env().cache_manager.get_file_metadata_cache();
    let source = ParquetSource::new(table_schema)
        .with_table_parquet_options(session.table_options().parquet.clone())
        .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(objects, footers)));
    let statistics = total(table, &files);
    let groups = groups(session.config().target_partitions(), table, files, has_day)?;
    let config = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(statistics)
        .with_projection_indices(projection.cloned())?
        .with_limit(limit)
        .with_expr_adapter(Some(Arc::new(RestAdapterFactory::new(Arc::clone(&table.rest)))))
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// Deals the files, newest first, to the partitions by turns; large ones are split further by the optimizer.
fn groups(partitions: usize, table: &EventTable, files: Vec<Arc<DataFile>>, has_day: bool) -> Result<Vec<FileGroup>> {
    let mut groups = vec![Vec::new(); partitions.clamp(1, files.len().max(1))];
    let count = groups.len();
    for (at, file) in files.into_iter().enumerate() {
        groups[at % count].push(partitioned(table, &file, has_day)?);
    }
    Ok(groups.into_iter().map(FileGroup::new).collect())
}

fn partitioned(table: &EventTable, file: &Arc<DataFile>, has_day: bool) -> Result<PartitionedFile> {
    // Whoever holds the store's entry keeps the file on disk: the plan does, for as long as it may be read.
    let mut entry = PartitionedFile::new("", file.bytes).with_extension(Arc::clone(file));
    entry.object_meta.location = location(&table.snapshot.root, &file.path)?;
    if has_day {
        entry = entry.with_partition_values(vec![ScalarValue::Date32(Some(file.day))]);
    }
    let columns = table.schema.fields().iter().filter(|field| field.name() != DAY).map(|field| {
        if field.name() == "time" {
            time_range(std::iter::once(file.as_ref()))
        } else {
            ColumnStatistics::new_unknown()
        }
    });
    let statistics = Statistics {
        num_rows: exact(file.rows),
        total_byte_size: Precision::Inexact(usize::try_from(file.bytes).unwrap_or(usize::MAX)),
        column_statistics: columns.collect(),
    };
    Ok(entry.with_statistics(Arc::new(statistics)))
}

fn total(table: &EventTable, files: &[Arc<DataFile>]) -> Statistics {
    let rows = files.iter().map(|file| file.rows).sum();
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let columns = table.schema.fields().iter().map(|field| {
        if field.name() == "time" {
            time_range(files.iter().map(AsRef::as_ref))
        } else {
            ColumnStatistics::new_unknown()
        }
    });
    Statistics {
        num_rows: exact(rows),
        total_byte_size: Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)),
        column_statistics: columns.collect(),
    }
}

fn exact(count: u64) -> Precision<usize> {
    usize::try_from(count).map_or(Precision::Absent, Precision::Exact)
}

/// The range of `time`: the log keeps it to the microsecond, so it may answer `max(time)` by itself.
fn time_range<'a>(files: impl Iterator<Item = &'a DataFile> + Clone) -> ColumnStatistics {
    let instant = |at: Option<store::Timestamp>| match at {
        Some(at) => Precision::Exact(ScalarValue::TimestampMicrosecond(Some(at.0), Some("UTC".into()))),
        None => Precision::Absent,
    };
    ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: instant(files.clone().map(|file| file.time_min).min()),
        max_value: instant(files.map(|file| file.time_max).max()),
        ..ColumnStatistics::new_unknown()
    }
}

/// The folder of all tables as an object store, so that paths in plans begin with the dataset's folder and tell nothing of the machine.
fn objects(session: &dyn Session, root: &Path) -> Result<(ObjectStoreUrl, Arc<dyn ObjectStore>)> {
    let tables = root.parent().unwrap_or(root);
    let mut hasher = DefaultHasher::new();
    tables.hash(&mut hasher);
    let url = ObjectStoreUrl::parse(format!("yellowline://tables-{:x}", hasher.finish()))?;
    let runtime = session.runtime_env();
    if let Ok(known) = runtime.object_store(&url) {
        return Ok((url, known));
    }
    let objects =
        LocalFileSystem::new_with_prefix(tables).map_err(|error| DataFusionError::ObjectStore(Box::new(error)))?;
    let objects: Arc<dyn ObjectStore> = Arc::new(objects);
    runtime.register_object_store(url.as_ref(), Arc::clone(&objects));
    Ok((url, objects))
}

/// A file's place below the folder of all tables; its name is taken as it is, not as a URL.
fn location(root: &Path, file: &str) -> Result<ObjectPath> {
    let folder = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    ObjectPath::parse(format!("{folder}/{file}"))
        .map_err(|error| internal_datafusion_err!("the file {file} has no usable path: {error}"))
}
