//! Rows of many batches in the order of a file, column by column.
//!
//! Not Arrow's `interleave`: most columns are null in most rows, and it copies each of those like a value.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, ListArray, PrimitiveArray,
        StringArray, new_null_array,
    },
    buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    compute::interleave,
    datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType},
    error::ArrowError,
};

use super::{
    columns::Source,
    order::{Place, contiguous},
};

/// An array among several and a place in it.
type Index = (u32, u32);

/// The batches that some rows come from, and where each row stands in them.
pub(super) struct Gather<'a> {
    batches: Vec<&'a Source<'a>>,
    indices: Vec<Index>,
    contiguous: Option<(usize, usize)>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(all: &'a [Source<'a>], places: &[Place]) -> Self {
        let mut batches = Vec::new();
        let mut numbers = vec![u32::MAX; all.len()];
        let mut indices = Vec::with_capacity(places.len());
        for place in places {
            let number = &mut numbers[place.batch as usize];
            if *number == u32::MAX {
                *number = u32::try_from(batches.len()).unwrap_or(u32::MAX);
                batches.push(&all[place.batch as usize]);
            }
            indices.push((*number, place.row));
        }
        let contiguous = contiguous(places).map(|(_, row)| (0, row));
        Self { batches, indices, contiguous }
    }

    /// A column's values of the rows; null where a batch has no such column.
    pub(super) fn column(&self, name: &str, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let found: Vec<Option<&dyn Array>> =
            self.batches.iter().map(|source| source.column(name).map(|array| &**array)).collect();
        if let Some((batch, row)) = self.contiguous
            && let Some(array) = found[batch]
        {
            return Ok(array.slice(row, self.indices.len()));
        }
        gather(&found, &self.indices, data_type)
    }
}

/// The values at `indices`; null where there is no array.
fn gather(arrays: &[Option<&dyn Array>], indices: &[Index], data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if arrays.iter().all(Option::is_none) {
        return Ok(new_null_array(data_type, indices.len()));
    }
    match data_type {
        DataType::Int64 => Ok(primitives::<Int64Type>(arrays, indices, data_type)),
        DataType::Float64 => Ok(primitives::<Float64Type>(arrays, indices, data_type)),
        DataType::Timestamp(..) => Ok(primitives::<TimestampMicrosecondType>(arrays, indices, data_type)),
        DataType::Boolean => Ok(booleans(arrays, indices)),
        DataType::Utf8 => texts(arrays, indices),
        DataType::List(_) => lists(arrays, indices, data_type),
        _ => {
            let longest = arrays.iter().flatten().map(|array| array.len()).max().unwrap_or(0);
            let absent = new_null_array(data_type, longest);
            let arrays: Vec<&dyn Array> = arrays.iter().map(|array| array.unwrap_or(&*absent)).collect();
            let indices: Vec<(usize, usize)> =
                indices.iter().map(|(array, row)| (*array as usize, *row as usize)).collect();
            interleave(&arrays, &indices)
        }
    }
}

/// Which rows of each array have a value: `None` = none, `Some(None)` = all.
struct Valid<'a>(Vec<Option<Option<&'a NullBuffer>>>);

impl<'a> Valid<'a> {
    fn of(arrays: &[Option<&'a dyn Array>]) -> Self {
        Self(arrays.iter().map(|array| array.map(|array| array.nulls())).collect())
    }

    #[inline]
    fn is(&self, (array, row): Index) -> bool {
        match self.0[array as usize] {
            Some(Some(nulls)) => nulls.is_valid(row as usize),
            Some(None) => true,
            None => false,
        }
    }

    /// The nulls of the result; none if all rows have a value.
    fn gather(&self, indices: &[Index]) -> Option<NullBuffer> {
        if self.0.iter().all(|nulls| matches!(nulls, Some(None))) {
            return None;
        }
        let mut bits = BooleanBufferBuilder::new(indices.len());
        for index in indices {
            bits.append(self.is(*index));
        }
        Some(NullBuffer::new(bits.finish())).filter(|nulls| nulls.null_count() > 0)
    }
}

fn primitives<T: ArrowPrimitiveType>(
    arrays: &[Option<&dyn Array>],
    indices: &[Index],
    data_type: &DataType,
) -> ArrayRef {
    let nulls = Valid::of(arrays).gather(indices);
    let values: Vec<&[T::Native]> =
        arrays.iter().map(|array| array.map_or(&[][..], |array| &**array.as_primitive::<T>().values())).collect();
    let value = |(array, row): &Index| values[*array as usize].get(*row as usize).copied().unwrap_or_default();
    let values: Vec<T::Native> = indices.iter().map(value).collect();
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls).with_data_type(data_type.clone()))
}

fn booleans(arrays: &[Option<&dyn Array>], indices: &[Index]) -> ArrayRef {
    let valid = Valid::of(arrays);
    let arrays: Vec<Option<&BooleanArray>> = arrays.iter().map(|array| array.map(|array| array.as_boolean())).collect();
    let mut values = BooleanBufferBuilder::new(indices.len());
    for index in indices {
        let value = arrays[index.0 as usize].is_some_and(|array| array.values().value(index.1 as usize));
        values.append(value);
    }
    Arc::new(BooleanArray::new(values.finish(), valid.gather(indices)))
}

fn texts(arrays: &[Option<&dyn Array>], indices: &[Index]) -> Result<ArrayRef, ArrowError> {
    let nulls = Valid::of(arrays).gather(indices);
    let texts: Vec<(&[i32], &[u8])> = arrays
        .iter()
        .map(|array| array.map_or((&[][..], &[][..]), |array| text_parts(array.as_string::<i32>())))
        .collect();
    let mut offsets = Vec::with_capacity(indices.len() + 1);
    let mut bytes = Vec::new();
    offsets.push(0);
    for (array, row) in indices {
        let (starts, text) = texts[*array as usize];
        if let Some([start, end]) = starts.get(*row as usize..).and_then(|starts| starts.first_chunk::<2>())
            && start < end
        {
            let (Ok(start), Ok(end)) = (usize::try_from(*start), usize::try_from(*end)) else { continue };
            bytes.extend_from_slice(&text[start..end]);
        }
        let end = i32::try_from(bytes.len()).map_err(|_| ArrowError::OffsetOverflowError(bytes.len()))?;
        offsets.push(end);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls)?))
}

fn text_parts(array: &StringArray) -> (&[i32], &[u8]) {
    (array.value_offsets(), array.value_data())
}

fn lists(arrays: &[Option<&dyn Array>], indices: &[Index], data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let nulls = Valid::of(arrays).gather(indices);
    let lists: Vec<Option<&ListArray>> = arrays.iter().map(|array| array.map(|array| array.as_list::<i32>())).collect();
    let mut items: Vec<Index> = Vec::new();
    let mut offsets = Vec::with_capacity(indices.len() + 1);
    offsets.push(0);
    for (number, row) in indices {
        if let Some(list) = lists[*number as usize]
            && let Some([start, end]) = list.value_offsets().get(*row as usize..).and_then(|all| all.first_chunk::<2>())
        {
            items.extend((*start..*end).filter_map(|item| Some((*number, u32::try_from(item).ok()?))));
        }
        offsets.push(i32::try_from(items.len()).map_err(|_| ArrowError::OffsetOverflowError(items.len()))?);
    }
    let DataType::List(field) = data_type else { return Ok(new_null_array(data_type, indices.len())) };
    let children: Vec<Option<&dyn Array>> = lists.iter().map(|list| list.map(|list| &**list.values())).collect();
    let values = gather(&children, &items, field.data_type())?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, nulls)?))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Float64Array, Int64Array, ListBuilder, StringBuilder},
        datatypes::Field,
    };

    use super::*;

    /// Against Arrow's own, with nulls where an array is missing.
    fn check(arrays: &[Option<ArrayRef>], indices: &[Index], data_type: &DataType) {
        let parts: Vec<Option<&dyn Array>> = arrays.iter().map(|array| array.as_deref()).collect();
        let gathered = gather(&parts, indices, data_type).unwrap();
        let absent = new_null_array(data_type, 8);
        let whole: Vec<&dyn Array> = arrays.iter().map(|array| array.as_deref().unwrap_or(&*absent)).collect();
        let pairs: Vec<(usize, usize)> = indices.iter().map(|(array, row)| (*array as usize, *row as usize)).collect();
        let expected = interleave(&whole, &pairs).unwrap();
        assert_eq!(&gathered, &expected);
    }

    #[test]
    fn every_type_is_gathered_as_arrow_does_it() {
        let indices = [(0, 1), (1, 3), (2, 0), (0, 0), (2, 2), (1, 1), (0, 3), (0, 2), (2, 3), (2, 1), (1, 0), (1, 2)];
        let int = |values: Vec<Option<i64>>| Some(Arc::new(Int64Array::from(values)) as ArrayRef);
        let numbers = [int(vec![Some(1), None, Some(3), None]), None, int(vec![Some(5), Some(6), Some(7), Some(8)])];
        check(&numbers, &indices, &DataType::Int64);
        let full = [numbers[2].clone(), numbers[2].clone(), numbers[2].clone()];
        check(&full, &indices, &DataType::Int64);
        let float = |values: Vec<Option<f64>>| Some(Arc::new(Float64Array::from(values)) as ArrayRef);
        let floats = [float(vec![None, Some(0.5), None, Some(-0.0)]), float(vec![None; 4]), None];
        check(&floats, &indices, &DataType::Float64);
        let flag = |values: Vec<Option<bool>>| Some(Arc::new(BooleanArray::from(values)) as ArrayRef);
        let flags = [flag(vec![Some(true), None, Some(false), Some(true)]), None, flag(vec![Some(true); 4])];
        check(&flags, &indices, &DataType::Boolean);
        let text = |values: Vec<Option<&str>>| Some(Arc::new(StringArray::from(values)) as ArrayRef);
        let texts = [text(vec![Some("a"), Some(""), None, Some("größe")]), None, text(vec![None; 4])];
        check(&texts, &indices, &DataType::Utf8);
        let sliced = text(vec![Some("x"), Some("y"), Some("longer"), None, Some("z")]).map(|array| array.slice(1, 4));
        check(&[sliced, None, texts[0].clone()], &indices, &DataType::Utf8);
        let item = Arc::new(Field::new("element", DataType::Utf8, true));
        let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Arc::clone(&item));
        builder.append_value([Some("a"), None]);
        builder.append_null();
        builder.append_value(std::iter::empty::<Option<&str>>());
        builder.append_value([Some("b"), Some("cc"), Some("")]);
        let list = Arc::new(builder.finish()) as ArrayRef;
        check(&[Some(Arc::clone(&list)), None, Some(list)], &indices, &DataType::List(item));
    }
}
